/* What a watched process executes is noticed once, whatever the kernel is at. */
#include "cli/watched.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS 100
#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x

/* It executes itself so many times. */
static const char script[] = "[ $0 = 0 ] || { sleep 0.003; exec sh -c \"$S\" $(($0 - 1)); }";

static pid_t start(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("S", script, 1);
        execlp("sh", "sh", "-c", script, TEXT(PROGRAMS), (char *)NULL);
        _exit(1);
    }
    return pid;
}

/* Looked at as often as can be, many a time when the kernel is not done with the program. Where
 * addresses are not randomised, one may be half told apart from the one before. */
Test(watched, programs)
{
    struct watched w;
    enum watched_state state;
    unsigned programs = 0;
    pid_t pid = start();
    cr_assert(watched_begin(&w, pid));
    while ((state = watched_look(&w)) != WATCHED_ENDED)
        programs += state == WATCHED_EXEC;
    watched_end(&w);
    waitpid(pid, NULL, 0);
    cr_expect_gt(programs, PROGRAMS / 2);
    cr_assert_leq(programs, PROGRAMS + PROGRAMS / 20, "%u", programs);
}

static struct watched_program program(unsigned char address, unsigned char seed)
{
    return (struct watched_program){
        .vector = {address}, .seed = {seed}, .vector_known = true, .seed_known = seed != 0};
}

/* That the seed could not be read once does not hide the next program. */
Test(watched, seed)
{
    struct watched_program now = program(1, 1), unread = program(1, 0), next = program(1, 2);
    cr_expect_not(watched_replace(&now, &unread));
    cr_assert(watched_replace(&now, &next));
    cr_assert_not(watched_replace(&now, &next));
}

/* A process whose first thread has ended tells nothing, until another one executes a program. */
Test(watched, leaderless)
{
    struct watched_program now = {0}, unread = {0}, next = program(1, 1);
    cr_expect_not(watched_replace(&now, &unread));
    cr_assert(watched_replace(&now, &next));
    cr_assert_not(watched_replace(&now, &unread));
    cr_assert_not(watched_replace(&now, &next));
}
