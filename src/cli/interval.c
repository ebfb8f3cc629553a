/*
 * A series of looks at one process.
 *
 * Files of the target are opened and its symbols read once, by us, as for any report. Each look at
 * its heap is a child of ours, made by fork(), which enters the sandbox, walks, sends one struct
 * hw_sample through a pipe and is gone. A filter cannot be taken off again, and what comes between
 * two looks takes more than it allows: another program may have been executed, whose symbols are to
 * be read; a snapshot has a keeper to be started. So every look has the same narrow sandbox that a
 * single report has; whatever a heap is made to do to its walker, it can do to a number in one
 * line; and what one look has allocated is not there in the next, however many hours later.
 */
#include "interval.h"

#include "manners.h"
#include "output.h"
#include "watched.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADINGS_EVERY 20
#define TRIES          5
#define NAP_NS         INT64_C(20000000)

struct series {
    const struct cli_options *o;
    struct sandbox *box;
    struct watched process;
    struct hw_session *session; /* NULL: to be opened */
    struct hw_sample before;    /* of the same program, where has_before is set */
    bool has_before;
    bool executed; /* another program, and no line with figures has said so yet */
    bool is_new;   /* it was noticed in this look, or at the end of the last */
    uint64_t lines;
    bool measured, flawed; /* some line has figures; some line has none, or not all */
    bool told_sandbox;
    sigset_t open; /* the signals that we wait for are blocked but while we wait */
};

/* What a look sends. Fits into a pipe in one piece. */
struct answer {
    int rc;
    struct hw_error err;
    struct hw_sample sample;
    char why_not[160]; /* there is no sandbox */
};

/* ---- the end that we are told --------------------------------------------------------------- */

static const int endings[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDINGS (sizeof endings / sizeof *endings)
static volatile sig_atomic_t told_to_end;

static void on_ending(int number)
{
    (void)number;
    told_to_end = 1;
}

/* What is ignored (nohup) stays so. */
static void catch_endings(struct series *s)
{
    sigset_t ours;
    struct sigaction old, action = {.sa_handler = on_ending};
    sigemptyset(&ours);
    for (size_t i = 0; i < ENDINGS; i++) {
        if (sigaction(endings[i], NULL, &old) != 0 || old.sa_handler == SIG_IGN)
            continue;
        sigaddset(&ours, endings[i]);
        sigaction(endings[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &ours, &s->open);
}

/* In a child: it has nothing to finish. */
static void give_back_endings(const struct series *s)
{
    struct sigaction old;
    for (size_t i = 0; i < ENDINGS; i++)
        if (sigaction(endings[i], NULL, &old) == 0 && old.sa_handler == on_ending)
            signal(endings[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &s->open, NULL);
}

/* Here, at the latest, those that came by now. */
static void let_endings_in(const struct series *s)
{
    sigset_t ours;
    sigprocmask(SIG_SETMASK, &s->open, &ours);
    sigprocmask(SIG_SETMASK, &ours, NULL);
}

/* ---- one look ------------------------------------------------------------------------------- */

struct opening {
    struct series *s;
    struct hw_error *err;
    int rc;
};

static void open_politely(void *arg)
{
    struct opening *a = arg;
    a->rc = hw_open_pid(a->s->o->pid, &a->s->o->open, &a->s->session, a->err);
}

static int open_session(struct series *s, struct hw_error *err)
{
    struct opening a = {.s = s, .err = err};
    run_politely(open_politely, &a);
    return a.rc;
}

static void drop_session(struct series *s)
{
    hw_close(s->session);
    s->session = NULL;
}

/* The child. It dies with us, and lets the target go as we would. */
static _Noreturn void walk(struct series *s, int fd, pid_t parent)
{
    struct answer a = {0};
    struct hw_report *r = NULL;
    give_back_endings(s);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_NOTHING);
    s->box->dying = NULL; /* the output is not ours */
    s->box->needs = sandbox_needs(s->o);
    a.rc = hw_inspect(s->session, &s->o->listen, &r, &a.err);
    if (a.rc == HW_OK)
        hw_report_sample(r, &a.sample);
    memcpy(a.why_not, s->box->why_not, sizeof a.why_not);
    bool sent = write(fd, &a, sizeof a) == (ssize_t)sizeof a;
    _exit(sent ? EXIT_COMPLETE : EXIT_NOTHING);
}

/* False if the child ended without an answer, or was made to, as we are to end. */
static bool receive(const struct series *s, int fd, pid_t child, struct answer *ret)
{
    size_t got = 0;
    while (got < sizeof *ret) {
        watched_wait(&s->process, 0, fd, &s->open);
        if (told_to_end) {
            kill(child, SIGTERM);
            return false;
        }
        ssize_t n = read(fd, (char *)ret + got, sizeof *ret - got);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static int fail(struct hw_error *err, const char *what, int number)
{
    *err = (struct hw_error){.code = HW_ERR_SYSTEM, .sys_errno = number};
    snprintf(err->text, sizeof err->text, "%s: %s", what, strerror(number));
    return err->code;
}

/* What is sent may be anything if a heap has got hold of the child. */
static int judge(struct series *s, struct answer *a, bool answered, int status,
                 struct hw_error *err)
{
    if (!answered) {
        *err = (struct hw_error){.code = HW_ERR_SYSTEM};
        snprintf(err->text, sizeof err->text, "the look at the heap came to an end by %s %d",
                 WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return err->code;
    }
    a->err.text[sizeof a->err.text - 1] = a->err.remedy[sizeof a->err.remedy - 1] = '\0';
    a->sample.text[sizeof a->sample.text - 1] = '\0';
    a->sample.sandbox[sizeof a->sample.sandbox - 1] = '\0';
    a->why_not[sizeof a->why_not - 1] = '\0';
    if (a->why_not[0] && s->o->verbose && !s->told_sandbox)
        fprintf(stderr, "heapwalk: without sandbox: %s\n", a->why_not);
    s->told_sandbox |= a->why_not[0] != '\0';
    *err = a->err;
    return a->rc;
}

static int measure(struct series *s, struct hw_sample *ret, struct hw_error *err)
{
    struct answer a;
    int ends[2], status = 0;
    pid_t us = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(err, "cannot make a pipe", errno);
    pid_t child = fork();
    if (child == 0)
        walk(s, ends[1], us);
    int code = errno;
    close(ends[1]);
    bool answered = child > 0 && receive(s, ends[0], child, &a);
    close(ends[0]);
    if (child < 0)
        return fail(err, "cannot start a process to look at the heap", code);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    let_endings_in(s); /* ^C is for all of us at once, and it may have ended the look first */
    int rc = judge(s, &a, answered, status, err);
    if (rc == HW_OK)
        *ret = a.sample;
    return rc;
}

/* ---- one line ------------------------------------------------------------------------------- */

enum outcome { SEEN, FAILED, ENDED };

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* A process that has just executed another program is not ready at once. That a copy of it was
 * killed is no reason to make the next one. */
static bool may_pass(const struct series *s, int rc)
{
    return s->is_new || (rc == HW_ERR_GONE && s->o->open.mode != HW_MODE_SNAPSHOT);
}

static bool has_ended(struct series *s)
{
    enum watched_state state = watched_look(&s->process);
    if (state == WATCHED_EXEC) {
        drop_session(s);
        s->has_before = false;
        s->executed = s->is_new = true;
    }
    return state == WATCHED_ENDED;
}

static enum outcome look(struct series *s, struct hw_sample *ret, struct hw_error *err)
{
    for (unsigned tries = 0;; tries++) {
        if (has_ended(s))
            return ENDED;
        int rc = s->session ? HW_OK : open_session(s, err);
        if (rc == HW_ERR_NO_PROCESS) /* a zombie, maybe */
            return ENDED;
        if (rc == HW_OK)
            rc = measure(s, ret, err);
        if (rc == HW_OK) {
            ret->event = s->executed ? HW_EVENT_EXEC : HW_EVENT_NONE;
            s->executed = s->is_new = false;
            return SEEN;
        }
        if (told_to_end || tries + 1 == TRIES || !may_pass(s, rc)) {
            drop_session(s);
            s->is_new = false;
            return has_ended(s) ? ENDED : FAILED;
        }
        drop_session(s);
        nap();
    }
}

static int64_t wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What there is to say of a look, with figures or without. */
static void describe(const struct series *s, enum outcome outcome, const struct hw_error *err,
                     struct hw_sample *sample)
{
    char name[16];
    if (outcome != SEEN)
        *sample = (struct hw_sample){
            .time_ns = wall_clock(),
            .event = outcome == ENDED ? HW_EVENT_END : HW_EVENT_ERROR,
            .complete = outcome == ENDED,
        };
    if (outcome == ENDED) {
        snprintf(sample->text, sizeof sample->text, "the process has ended");
    } else if (outcome == FAILED) {
        snprintf(sample->text, sizeof sample->text, "%.250s", err->text);
    } else if (sample->event == HW_EVENT_EXEC && !sample->text[0]) {
        watched_name(&s->process, name);
        snprintf(sample->text, sizeof sample->text, "it runs another program now: %s", name);
    }
}

static int put_line(struct series *s, const struct hw_sample *sample, FILE *out,
                    struct hw_error *err)
{
    const struct hw_render_options *opt = &s->o->render;
    bool text = !opt->format || strcmp(opt->format, "text") == 0;
    bool again = text && s->lines % HEADINGS_EVERY == 0 && isatty(fileno(out));
    int rc = s->lines == 0 || again ? hw_series_head(opt, out, err) : HW_OK;
    if (rc == HW_OK)
        rc = hw_series_line(sample, s->has_before ? &s->before : NULL, opt, out, err);
    s->lines++;
    return rc;
}

static void remember(struct series *s, enum outcome outcome, const struct hw_sample *sample)
{
    s->flawed |= outcome == FAILED || !sample->complete;
    if (outcome != SEEN)
        return;
    s->measured = true;
    s->has_before = true;
    s->before = *sample;
}

/* ---- the series ----------------------------------------------------------------------------- */

/* Until the next multiple of the interval since the first line. What was missed meanwhile is
 * skipped, not made up for. Returns the number of the line that it is time for. */
static uint64_t wait_next(const struct series *s, int64_t first, uint64_t number)
{
    int64_t interval = s->o->interval_ns, now = watched_clock();
    uint64_t next = (uint64_t)((now - first) / interval) + 1;
    if (next <= number) /* the clock has not moved */
        next = number + 1;
    watched_wait(&s->process, first + (int64_t)next * interval, -1, &s->open);
    return next;
}

static int ended(const struct series *s, struct hw_error *err)
{
    *err = (struct hw_error){.code = HW_ERR_GONE};
    snprintf(err->text, sizeof err->text, "pid %d has ended", s->o->pid);
    return err->code;
}

/* A failure of the first look is one of all: nobody has got anything yet. */
static int run(struct series *s, FILE *out, struct hw_error *err)
{
    int64_t first = watched_clock();
    for (uint64_t number = 0, skipped = 0; !told_to_end;) {
        struct hw_sample sample = {0};
        enum outcome outcome = look(s, &sample, err);
        if (told_to_end)
            return HW_OK;
        if (outcome != SEEN && s->lines == 0)
            return outcome == ENDED ? ended(s, err) : err->code;
        describe(s, outcome, err, &sample);
        sample.skipped = skipped;
        int rc = put_line(s, &sample, out, err);
        if (rc != HW_OK)
            return rc;
        remember(s, outcome, &sample);
        if (outcome == ENDED || (s->o->count && s->lines == (uint64_t)s->o->count))
            return HW_OK;
        uint64_t next = wait_next(s, first, number);
        skipped = next - number - 1;
        number = next;
    }
    return HW_OK;
}

static int into_output(struct series *s)
{
    struct hw_error err = {0};
    struct output out;
    if (output_open(&out, s->o->output, &err) != HW_OK)
        return complain(&err);
    int rc = run(s, out.stream, &err);
    if (rc != HW_OK)
        output_discard(&out);
    else
        rc = output_commit(&out, &err);
    if (rc != HW_OK)
        return complain(&err);
    return !s->measured ? EXIT_NOTHING : s->flawed ? EXIT_PARTIAL : EXIT_COMPLETE;
}

int interval(const struct cli_options *o, struct sandbox *box)
{
    struct series s = {.o = o, .box = box};
    struct hw_error err = {0};
    watched_begin(&s.process, o->pid);
    int rc = open_session(&s, &err), status;
    if (rc == HW_OK) {
        catch_endings(&s);
        status = into_output(&s);
    } else {
        status = complain(&err);
    }
    drop_session(&s);
    watched_end(&s.process);
    return status;
}
