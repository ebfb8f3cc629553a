/*
 * A process that ends, or goes on as another program, while it is looked at: each is told by its
 * name.
 */
#include "snapshots.h"

#include "target/proc.h"
#include "target/target.h"

#include <fcntl.h>

static struct hw_target *open_by(int (*open_it)(int, struct hw_target **, struct hw_error *),
                                 pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(open_it(pid, &t, &err), HW_OK, "%s", err.text);
    cr_expect_eq(hw_target_look_again(t, &err), HW_OK, "%s", err.text);
    return t;
}

static void expect_gone(struct hw_target *t, const char *why)
{
    struct hw_error err = {0};
    cr_expect_eq(hw_target_check(t, &err), HW_ERR_GONE);
    cr_expect_not_null(strstr(err.text, why), "not \"%s\": %s", why, err.text);
    cr_expect_eq(hw_target_look_again(t, &err), HW_ERR_GONE);
    cr_expect_not_null(strstr(err.text, why), "not \"%s\": %s", why, err.text);
    hw_target_close(t);
}

static void await_go(struct shared *sh)
{
    sh->count[0] = getpid();
    sh->ready = 1;
    while (!sh->go)
        nap_ms(1);
}

static bool is_called(pid_t pid, const char *name)
{
    char comm[64] = "";
    return hw_proc_text(pid, "comm", comm, sizeof comm) && strcmp(comm, name) == 0;
}

static void ends(void *arg)
{
    await_go(arg);
}

Test(again, one_that_has_ended, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(ends, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_target *t = open_by(hw_target_open_live, pid);
    struct hw_target *outline = open_by(hw_target_open_outline, pid);
    sh->go = 1;
    cr_assert(reaches_state(pid, 'Z'));
    expect_gone(t, "has ended");
    expect_gone(outline, "has ended");
    child_end(pid);
}

static void goes_on_as_sleep(void *arg)
{
    await_go(arg);
    execl("/bin/sleep", "sleep", "1000", (char *)NULL);
}

Test(again, one_that_goes_on_as_another, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(goes_on_as_sleep, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_target *t = open_by(hw_target_open_live, pid);
    struct hw_target *outline = open_by(hw_target_open_outline, pid);
    sh->go = 1;
    cr_assert(eventually(is_called(pid, "sleep\n")));
    expect_gone(t, "started another program");
    expect_gone(outline, "started another program");
    child_end(pid);
}

/* Until then it has the memory of its parent, which lives on. */
static void child_of_vfork_goes_on(void *arg)
{
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        goes_on_as_sleep(arg);
        _exit(1);
    }
    child_sleep(NULL);
}

Test(again, the_child_of_a_vfork_that_goes_on_as_another, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t parent = child_start(child_of_vfork_goes_on, sh);
    cr_assert(eventually(sh->ready >= 1));
    pid_t pid = (pid_t)sh->count[0];
    struct hw_target *t = open_by(hw_target_open_live, pid);
    struct hw_target *outline = open_by(hw_target_open_outline, pid);
    sh->go = 1;
    cr_assert(eventually(is_called(pid, "sleep\n")));
    expect_gone(t, "started another program");
    expect_gone(outline, "started another program");
    child_end(parent);
}

static void loads(void *arg)
{
    struct shared *sh = arg;
    await_go(sh);
    int fd = open("/bin/sleep", O_RDONLY);
    if (fd < 0 || mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
        _exit(1);
    sh->ready = 2;
    child_sleep(NULL);
}

Test(again, one_that_loads_files, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    struct hw_error err = {0};
    pid_t pid = child_start(loads, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_target *t = open_by(hw_target_open_live, pid);
    sh->go = 1;
    cr_assert(eventually(sh->ready >= 2));
    cr_expect_eq(hw_target_check(t, &err), HW_OK, "%s", err.text);
    cr_expect_eq(hw_target_look_again(t, &err), HW_ERR_GONE);
    cr_expect_not_null(strstr(err.text, "loading its libraries"), "%s", err.text);
    cr_expect_str_eq(err.remedy, "try again");
    hw_target_close(t);
    child_end(pid);
}
