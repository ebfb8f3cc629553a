/*
 * What a filter sees are the registers of a call, not what they point to. So a call whose arguments
 * lie in memory (openat2, clone3) is answered by "no such call", and the caller falls back to the
 * older one that can be looked at. Code cannot be mapped either (dlopen): that is refused by an
 * error, as libraries that look for other libraries take no for an answer.
 */
#include "sandbox.h"

#include "sandbox_calls.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* <asm/siginfo.h>, which does not go with <signal.h> */
#endif

unsigned sandbox_needs(const struct cli_options *o)
{
    unsigned of_mode = o->open.mode == HW_MODE_STOPPED    ? SANDBOX_STOP
                       : o->open.mode == HW_MODE_SNAPSHOT ? SANDBOX_COPY
                                                          : 0;
    return o->pid ? SANDBOX_LIVE | of_mode : 0;
}

/* ---- the end of a forbidden call ------------------------------------------------------------- */

#define NUMBERS 1024
#define ROOM    32

static const struct sandbox *current;
static char (*names)[ROOM]; /* of NUMBERS calls: to look them up takes malloc() */

static void prepare_names(void)
{
    names = calloc(NUMBERS, sizeof *names);
    for (int i = 0; names && i < NUMBERS; i++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
        snprintf(names[i], ROOM, "%s", name ? name : "");
        free(name);
    }
}

static char *append(char *to, const char *text)
{
    return stpcpy(to, text);
}

static char *append_number(char *to, unsigned n)
{
    char digits[12], *p = digits + sizeof digits - 1;
    *p = '\0';
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    return append(to, p);
}

/* Nothing is called here but what may be called in a signal handler. */
static void on_forbidden(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code != SYS_SECCOMP) { /* sent by somebody */
        signal(signal_number, SIG_DFL);
        raise(signal_number); /* held back until we return */
        return;
    }
    char text[256], *end = append(text, "heapwalk: the sandbox forbade the system call ");
    unsigned number = (unsigned)info->si_syscall;
    if (names && number < NUMBERS && names[number][0])
        end = append(end, names[number]);
    else
        end = append_number(end, number);
    end = append(end, ", so there is no report: a mistake of heapwalk, or what it reads has got "
                      "hold of it; --no-sandbox allows it\n");
    (void)!write(STDERR_FILENO, text, (size_t)(end - text));
    if (current->dying)
        current->dying();
    _exit(2); /* EXIT_NOTHING */
}

static void catch_forbidden(const struct sandbox *s)
{
    struct sigaction action = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO};
    current = s;
    prepare_names();
    sigfillset(&action.sa_mask);
    sigaction(SIGSYS, &action, NULL);
}

/* ---- the filter ------------------------------------------------------------------------------ */

/* Calls that this machine or this library does not know cannot be made by accident either. */
static int add(scmp_filter_ctx filter, uint32_t action, const struct sandbox_call *call)
{
    struct scmp_arg_cmp conditions[2];
    unsigned count = 0;
    int number = seccomp_syscall_resolve_name(call->name);
    for (size_t i = 0; i < 2; i++)
        if (call->arguments[i].bits)
            conditions[count++] =
                (struct scmp_arg_cmp){call->arguments[i].number, SCMP_CMP_MASKED_EQ,
                                      call->arguments[i].bits, call->arguments[i].value};
    return number < 0 ? 0 : seccomp_rule_add_array(filter, action, number, count, conditions);
}

/* A signal to one of our threads: raise(), abort(). */
static int add_own_signals(scmp_filter_ctx filter)
{
    const struct sandbox_call tgkill = {"tgkill", 0, {{0, UINT32_MAX, (uint64_t)getpid()}}};
    return add(filter, SCMP_ACT_ALLOW, &tgkill);
}

static int add_refused(scmp_filter_ctx filter)
{
    static const struct {
        int code;
        struct sandbox_call call;
    } refused[] = {{ENOSYS, {.name = "openat2"}},
                   {ENOSYS, {.name = "clone3"}},
                   {EACCES, {"mmap", 0, {{2, PROT_EXEC, PROT_EXEC}}}},
                   {EACCES, {"mprotect", 0, {{2, PROT_EXEC, PROT_EXEC}}}}};
    int rc = 0;
    for (size_t i = 0; i < sizeof refused / sizeof *refused && rc == 0; i++)
        rc = add(filter, SCMP_ACT_ERRNO((unsigned)refused[i].code), &refused[i].call);
    return rc;
}

static int add_all(scmp_filter_ctx filter, unsigned needs)
{
    int rc = add_own_signals(filter);
    if (rc == 0)
        rc = add_refused(filter);
    for (const char *const *name = sandbox_harmless; *name && rc == 0; name++)
        rc = add(filter, SCMP_ACT_ALLOW, &(struct sandbox_call){.name = *name});
    for (const struct sandbox_call *call = sandbox_calls; call->name && rc == 0; call++)
        if (!call->needs || (call->needs & needs))
            rc = add(filter, SCMP_ACT_ALLOW, call);
    return rc;
}

/*
 * For all threads, also those that run already. Calls of another machine (int $0x80, x32) have no
 * number that could be named: they end us without words. The rest is for speed: a tree instead of a
 * row of comparisons, and no mitigation for programs that run code of others (before Linux 5.16 a
 * filter turns that on, and every load of the walk would be slower).
 */
static int load(scmp_filter_ctx filter, unsigned needs)
{
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc == 0)
        rc = add_all(filter, needs);
    if (rc == 0) {
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    }
    return rc == 0 ? seccomp_load(filter) : rc;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#endif

/*
 * What would be loaded when it is first needed, and cannot be in the sandbox: how the characters of
 * this locale are read. And servers that are to be asked for debug files were asked by then: no
 * library should try.
 */
static void load_beforehand(void)
{
    mbrtowc(NULL, "a", 1, &(mbstate_t){0});
    unsetenv("DEBUGINFOD_URLS");
}

const char *sandbox_enter(void *arg)
{
    struct sandbox *s = arg;
    if (s->entered)
        return "seccomp";
    load_beforehand();
#ifdef HAS_SANITIZER
    /* They start processes, trace their own and open files to write, all at the very end. */
    snprintf(s->why_not, sizeof s->why_not, "this heapwalk was built with a sanitizer");
    return NULL;
#endif
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (!filter) {
        snprintf(s->why_not, sizeof s->why_not, "out of memory, or no seccomp on this machine");
        return NULL;
    }
    catch_forbidden(s);
    int rc = load(filter, s->needs);
    seccomp_release(filter);
    s->entered = rc == 0;
    if (rc == 0)
        return "seccomp";
    snprintf(s->why_not, sizeof s->why_not, "the kernel refuses a seccomp filter: %s",
             strerror(-rc));
    return NULL;
}
