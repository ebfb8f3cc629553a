/*
 * Cores that others write: the kernel, gdb.
 */
#include "child.h"

#include "sanitized.h"
#include "target/target.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

static uint8_t *known_bytes;

static void *second_thread(void *arg)
{
    child_sleep(arg);
    return NULL;
}

static void crash(void *arg)
{
    const char *dir = arg;
    pthread_t th;
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
    signal(SIGABRT, SIG_DFL);
    if (chdir(dir) != 0 || pthread_create(&th, NULL, second_thread, NULL) != 0)
        _exit(1);
    abort();
}

static void expect_known_core(const char *path, pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_core(path, &t, &err), HW_OK, "%s", err.text);
    char exe[4096] = "";
    cr_assert_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
    cr_expect_eq(t->who.pid, pid);
    cr_expect_str_eq(t->who.exe, exe);
    cr_expect_not_null(t->who.comm);
    cr_expect(!t->truncated);
    cr_expect_eq(t->thread_count, 2);
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct hw_thread *th = &t->threads[i];
        uint64_t self = 0; /* the thread pointer of x86-64 points at itself */
        cr_expect_eq(hw_read_word(t, th->tp, &self, NULL), HW_OK);
        cr_expect_eq(self, th->tp);
        cr_expect_not_null(hw_map_at(t, th->sp));
        cr_expect_not_null(hw_map_at(t, th->pc));
    }
    uint8_t buf[8192];
    cr_expect_eq(hw_read(t, (uintptr_t)known_bytes, buf, sizeof buf, NULL), 8192);
    cr_expect_eq(memcmp(buf, known_bytes, sizeof buf), 0);
    const struct hw_map *code = hw_map_at(t, (uintptr_t)&expect_known_core);
    cr_assert_not_null(code);
    cr_expect_str_eq(code->path, exe);
    int fd = hw_target_open_file(t, code, &err);
    cr_expect(fd >= 0, "%s", err.text);
    close(fd);
    hw_target_close(t);
}

static void make_known_bytes(void)
{
    known_bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(known_bytes, MAP_FAILED);
    for (int i = 0; i < 8192; i++)
        known_bytes[i] = (uint8_t)(i * 31 + i / 256);
}

Test(core, reads_a_core_of_the_kernel, .timeout = 60)
{
    char dir[] = "/tmp/hw-crash-XXXXXX", path[256];
    cr_assert_not_null(mkdtemp(dir));
    make_known_bytes();
    pid_t pid = child_start(crash, dir);
    int status;
    waitpid(pid, &status, 0);
    bool there = child_core(dir, pid, path, sizeof path) && WIFSIGNALED(status) &&
                 WCOREDUMP(status) && access(path, R_OK) == 0;
    if (there) {
        expect_known_core(path, pid);
        unlink(path);
    }
    rmdir(dir);
    if (!there)
        cr_skip_test("the kernel writes no plain core files here");
}

static void two_threads(void *arg)
{
    pthread_t th;
    pthread_create(&th, NULL, second_thread, arg);
    child_sleep(arg);
}

Test(core, reads_a_core_of_gcore, .timeout = 120)
{
    if (SANITIZED)
        cr_skip_test("gcore would write out the whole shadow memory");
    char dir[] = "/tmp/hw-gcore-XXXXXX", command[256], path[256];
    if (system("command -v gcore >/dev/null") != 0)
        cr_skip_test("needs gcore");
    cr_assert_not_null(mkdtemp(dir));
    make_known_bytes();
    pid_t pid = child_start(two_threads, NULL);
    cr_assert(reaches_threads(pid, 2));
    snprintf(command, sizeof command, "gcore -o %s/core %d >/dev/null 2>&1", dir, pid);
    int rc = system(command);
    child_end(pid);
    snprintf(path, sizeof path, "%s/core.%d", dir, pid);
    cr_assert_eq(rc, 0);
    expect_known_core(path, pid);
    unlink(path);
    rmdir(dir);
}
