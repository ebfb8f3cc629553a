#include "child.h"

#include "target/target.h"

#include <pthread.h>

#define PAGE 4096u

static struct hw_target *open_it(pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &t, &err), HW_OK, "%s", err.text);
    return t;
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

/* 16 readable pages, 4 that may not be read, 16 readable; the same addresses in a child. */
static uint8_t *make_pattern(void)
{
    uint8_t *p = mmap(NULL, 36 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(p, MAP_FAILED);
    for (size_t i = 0; i < 36 * PAGE; i++)
        p[i] = pattern(i);
    mprotect(p + 16 * PAGE, 4 * PAGE, PROT_NONE);
    return p;
}

static bool right(const uint8_t *buf, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != pattern(from + i))
            return false;
    return true;
}

static void expect_pattern(struct hw_target *t, hw_addr at)
{
    uint8_t buf[36 * PAGE];
    cr_expect_eq(hw_read(t, at + 100, buf, 5000, NULL), 5000);
    cr_expect(right(buf, 100, 5000));
    cr_expect_eq(hw_read(t, at + 3, buf, sizeof buf - 3, NULL), 16 * PAGE - 3);
    cr_expect(right(buf, 3, 16 * PAGE - 3));
    cr_expect_eq(hw_read(t, at + 16 * PAGE - 1, buf, 2, NULL), 1);
    cr_expect_eq(hw_read(t, at + 16 * PAGE, buf, 10 * PAGE, NULL), 0);
    cr_expect_eq(hw_read(t, at + 19 * PAGE + 5, buf, 10 * PAGE, NULL), 0);
    cr_expect_eq(hw_read(t, at + 20 * PAGE, buf, 16 * PAGE, NULL), 16 * PAGE);
    cr_expect(right(buf, 20 * PAGE, 16 * PAGE));
    cr_expect_eq(hw_read(t, 8, buf, 16, NULL), 0);
    cr_expect_eq(hw_read(t, UINT64_MAX - 100, buf, 16, NULL), 0);
    cr_expect_eq(hw_read(t, UINT64_C(0x8000000000000000), buf, 16, NULL), 0);
}

Test(live, reads_what_is_there_and_ends_at_holes, .timeout = 60)
{
    uint8_t *p = make_pattern();
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = open_it(pid);
    expect_pattern(t, (uintptr_t)p);
    child_end(pid);
    uint8_t buf[16];
    struct hw_error err;
    cr_expect_eq(hw_read(t, (uintptr_t)p, buf, 16, &err), HW_ERR_GONE);
    cr_expect_eq(hw_read_all(t, (uintptr_t)p, buf, 16, &err), HW_ERR_GONE);
    cr_expect_eq(hw_target_freeze(t, &err), HW_ERR_NO_PROCESS);
    cr_expect(!t->frozen);
    hw_target_close(t);
}

Test(live, reads_the_same_without_process_vm_readv, .timeout = 60)
{
    uint8_t *p = make_pattern();
    pid_t pid = child_start(child_sleep, NULL);
    forbid_call(SYS_process_vm_readv);
    struct hw_target *t = open_it(pid);
    expect_pattern(t, (uintptr_t)p);
    child_end(pid);
    uint8_t byte;
    cr_expect_eq(hw_read(t, (uintptr_t)p, &byte, 1, NULL), HW_ERR_GONE);
    hw_target_close(t);
}

Test(live, knows_who_it_is, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = open_it(pid);
    char exe[4096] = "";
    cr_assert_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
    cr_expect_eq(t->who.kind, HW_TARGET_LIVE);
    cr_expect_eq(t->who.pid, pid);
    cr_expect_str_eq(t->who.exe, exe);
    cr_expect_str_eq(t->who.machine->name, "x86_64");
    cr_expect_eq(t->who.machine->word, 8);
    cr_expect_eq(t->who.page_size, PAGE);
    cr_expect_not_null(t->who.comm);
    cr_expect_null(t->who.core);
    cr_expect_eq(t->thread_count, 1);
    cr_expect(!t->threads[0].regs_known);
    cr_expect_eq(t->pause_ns, -1);
    const struct hw_map *code = hw_map_at(t, (uintptr_t)&open_it);
    cr_assert_not_null(code);
    cr_expect_str_eq(code->path, exe);
    cr_expect(code->flags & HW_MAP_EXEC);
    cr_expect(!hw_map_is_anonymous(code));
    hw_target_close(t);
    child_end(pid);
}

Test(live, a_freeze_brings_maps_and_threads_up_to_date, .timeout = 60)
{
    uint8_t *p = make_pattern();
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = open_it(pid);
    cr_assert(reaches_state(pid, 'S'));
    int here = 0;
    struct hw_error err = {0};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
        cr_expect(t->frozen);
        cr_expect_eq(state_of(pid), 't');
        cr_expect_eq(t->thread_count, 1);
        cr_expect(t->threads[0].regs_known);
        const struct hw_map *stack = hw_map_at(t, (uintptr_t)&here);
        cr_assert_not_null(stack);
        cr_expect_str_eq(stack->path, "[stack]");
        cr_expect_eq(hw_map_stack_of(t, stack), &t->threads[0]);
        expect_pattern(t, (uintptr_t)p);
        hw_target_thaw(t);
        cr_expect(!t->frozen);
        cr_expect_neq(state_of(pid), 't');
        cr_expect_gt(t->pause_ns, 0);
        cr_expect_eq(t->missed_threads, 0);
        cr_expect(!t->threads[0].regs_known);
    }
    cr_assert_eq(hw_target_freeze(t, &err), HW_OK);
    hw_target_close(t);
    cr_expect_neq(state_of(pid), 't', "closing lets go");
    child_end(pid);
}

struct late_map {
    volatile bool wanted;
    void *volatile start;
};

static void map_more(void *arg)
{
    struct late_map *map = arg;
    while (!map->wanted)
        nap_ms(1);
    map->start = child_shared(10 * PAGE);
    child_sleep(arg);
}

Test(live, new_maps_are_seen_by_a_freeze, .timeout = 60)
{
    struct late_map *late = child_shared(sizeof *late);
    pid_t pid = child_start(map_more, late);
    struct hw_target *t = open_it(pid);
    late->wanted = true;
    cr_assert(eventually(late->start));
    cr_assert_eq(hw_target_freeze(t, NULL), HW_OK);
    const struct hw_map *map = hw_map_at(t, (uintptr_t)late->start);
    cr_assert_not_null(map);
    cr_expect(map->flags & HW_MAP_SHARED);
    hw_target_close(t);
    child_end(pid);
}

static void execs(void *arg)
{
    const int *fd = arg;
    char c;
    if (read(fd[0], &c, 1) == 1)
        execl("/bin/sleep", "sleep", "100", (char *)NULL);
    _exit(1);
}

/* Have the child go on as sleep. */
static void exec_it(pid_t pid, const int fd[2])
{
    cr_assert_eq(write(fd[1], "x", 1), 1);
    cr_assert(reaches_name(pid, "sleep"));
}

Test(live, another_program_under_the_same_pid_is_noticed, .timeout = 60)
{
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    pid_t pid = child_start(execs, fd);
    struct hw_target *t = open_it(pid);
    exec_it(pid, fd);
    struct hw_error err;
    cr_expect_eq(hw_target_freeze(t, &err), HW_ERR_GONE);
    cr_expect_not_null(strstr(err.text, "started another program"), "%s", err.text);
    cr_expect_neq(state_of(pid), 't');
    hw_target_close(t);
    child_end(pid);
}

Test(live, another_program_is_noticed_while_it_is_read, .timeout = 60)
{
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    pid_t pid = child_start(execs, fd);
    struct hw_target *t = open_it(pid);
    t->mode = HW_MODE_RUNNING;
    struct hw_error err;
    cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
    cr_expect_eq(hw_target_check(t, &err), HW_OK);
    exec_it(pid, fd);
    cr_expect_eq(hw_target_check(t, &err), HW_ERR_GONE);
    cr_expect_not_null(strstr(err.text, "started another program"), "%s", err.text);
    hw_target_close(t);
    child_end(pid);
}

Test(live, lives_on_without_its_main_thread, .timeout = 60)
{
    uint8_t *p = make_pattern();
    pid_t pid = child_start(child_without_leader, NULL);
    cr_assert(reaches_state(pid, 'Z'));
    struct hw_target *t = open_it(pid);
    cr_expect_eq(t->thread_count, 1);
    cr_expect_neq(t->threads[0].tid, pid);
    cr_expect_not_null(t->who.exe);
    struct hw_error err = {0};
    cr_expect_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
    cr_expect(t->threads[0].regs_known);
    expect_pattern(t, (uintptr_t)p);
    hw_target_close(t);
    child_end(pid);
}

Test(live, opens_the_files_that_are_mapped, .timeout = 60)
{
    char path[] = "/tmp/hw a file XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, "mapped", 6) == 6);
    void *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    cr_assert_neq(p, MAP_FAILED);
    close(fd);
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = open_it(pid);
    const struct hw_map *map = hw_map_at(t, (uintptr_t)p);
    cr_assert_not_null(map);
    cr_expect_str_eq(map->path, path);
    struct hw_error err = {0};
    char buf[8] = "";
    fd = hw_target_open_file(t, map, &err);
    cr_expect(fd >= 0, "%s", err.text);
    cr_expect_eq(read(fd, buf, 6), 6);
    cr_expect_str_eq(buf, "mapped");
    close(fd);

    unlink(path);
    cr_assert_eq(hw_target_freeze(t, NULL), HW_OK);
    map = hw_map_at(t, (uintptr_t)p);
    cr_assert_not_null(map);
    cr_expect_not_null(strstr(map->path, " (deleted)"));
    fd = hw_target_open_file(t, map, &err);
    if (fd >= 0) { /* by /proc/PID/map_files, which takes privilege */
        cr_expect_eq(read(fd, buf, 6), 6);
        close(fd);
    } else {
        cr_expect_eq(fd, HW_ERR_SYSTEM);
    }
    hw_target_close(t);
    child_end(pid);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void expect_refusal(int pid, int code, const char *text)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_expect_eq(hw_target_open_live(pid, &t, &err), code);
    cr_expect_null(t);
    cr_expect_str_eq(err.text, text);
    cr_expect_eq(hw_target_open_live(pid, &t, NULL), code);
}

Test(live, refuses_what_is_no_process, .timeout = 60)
{
    char text[128];
    pid_t pid = child_start(child_sleep, NULL);
    child_end(pid);
    snprintf(text, sizeof text, "there is no process with pid %d", pid);
    expect_refusal(pid, HW_ERR_NO_PROCESS, text);
    expect_refusal(0, HW_ERR_NO_PROCESS, "there is no process with pid 0");
    expect_refusal(-5, HW_ERR_NO_PROCESS, "there is no process with pid -5");

    pid = fork();
    if (pid == 0)
        _exit(0);
    cr_assert(reaches_state(pid, 'Z'));
    struct hw_target *t;
    struct hw_error err;
    cr_expect_eq(hw_target_open_live(pid, &t, &err), HW_ERR_NO_PROCESS);
    cr_expect_not_null(strstr(err.text, "a zombie"), "%s", err.text);
    waitpid(pid, NULL, 0);
    if (status_number(2, "Tgid:") == 2 && status_number(2, "VmSize:") < 0)
        expect_refusal(2, HW_ERR_NO_PROCESS, "pid 2 (kthreadd) is a kernel thread: it has no heap");
}

static void one_more_thread(void *arg)
{
    pthread_t th;
    pthread_create(&th, NULL, child_sleeper, arg);
    child_sleep(arg);
}

Test(live, refuses_a_thread_and_names_its_process, .timeout = 60)
{
    pid_t pid = child_start(one_more_thread, NULL);
    cr_assert(reaches_threads(pid, 2));
    struct hw_target *t = open_it(pid);
    cr_assert_eq(t->thread_count, 2);
    int tid = t->threads[1].tid;
    hw_target_close(t);
    struct hw_error err;
    cr_expect_eq(hw_target_open_live(tid, &t, &err), HW_ERR_NO_PROCESS);
    char text[128];
    snprintf(text, sizeof text, "is a thread of process %d", pid);
    cr_expect_not_null(strstr(err.text, text), "%s", err.text);
    snprintf(text, sizeof text, "use the process: -p %d", pid);
    cr_expect_str_eq(err.remedy, text);
    child_end(pid);
}
