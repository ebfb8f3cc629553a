#include "output.h"

#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The CLI sees only the public interface, so it fills the record itself. */
static int fail(struct hw_error *err, const char *what, const char *path)
{
    int code = errno;
    *err = (struct hw_error){.code = HW_ERR_OUTPUT, .sys_errno = code};
    snprintf(err->text, sizeof err->text, "%s %s: %s", what, path, strerror(code));
    return HW_ERR_OUTPUT;
}

int complain(const struct hw_error *err)
{
    fprintf(stderr, "heapwalk: %s", err->text[0] ? err->text : hw_code_text(err->code));
    if (err->remedy[0])
        fprintf(stderr, "; %s", err->remedy);
    fputc('\n', stderr);
    return err->code == HW_ERR_USAGE ? EXIT_USAGE : EXIT_NOTHING;
}

/* ---- standard output ------------------------------------------------------------------------- */

static bool stdout_closed;
static bool opened; /* from then on somebody looks after it */

/* What --help and -V print: they end us on their own. */
static void check_at_end(void)
{
    if (!opened && (ferror(stdout) || fflush(stdout) != 0)) {
        fprintf(stderr, "heapwalk: cannot write standard output: %s\n", strerror(errno));
        _exit(EXIT_NOTHING);
    }
}

void output_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        stdout_closed |= fd == STDOUT_FILENO;
        (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* as good as closed */
    }
    atexit(check_at_end);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The temporary file must not stay when the user loses patience. */
static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
static const char *volatile unfinished; /* what the handler removes */

void output_remove_unfinished(void)
{
    if (unfinished)
        unlink(unfinished);
}

static void remove_unfinished(int number)
{
    output_remove_unfinished();
    raise(number); /* once more, and now by default: held back until we return */
}

static void guard(const char *path)
{
    struct sigaction old,
        removal = {.sa_handler = remove_unfinished, .sa_flags = (int)SA_RESETHAND};
    unfinished = path;
    for (size_t i = 0; path && i < sizeof endings / sizeof *endings; i++)
        if (sigaction(endings[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(endings[i], &removal, NULL);
}

/* mkstemp(), and no signal in between. */
static int create_guarded(char *path)
{
    sigset_t set, old;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        sigaddset(&set, endings[i]);
    sigprocmask(SIG_BLOCK, &set, &old);
    int fd = mkstemp(path);
    if (fd >= 0)
        guard(path);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return fd;
}

static void release(struct output *out)
{
    guard(NULL);
    free(out->temporary);
    free(out->real);
    *out = (struct output){.stream = stdout};
}

/* A device, a pipe, a socket, or a link to a file that is yet to be: there is no replacing it, only
 * writing to it. */
static bool is_special(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return !S_ISREG(st.st_mode);
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static int open_directly(struct output *out, const char *path, struct hw_error *err)
{
    out->stream = fopen(path, "w");
    if (out->stream)
        return HW_OK;
    int rc = fail(err, "cannot write", path);
    *out = (struct output){.stream = stdout};
    return rc;
}

/* The temporary file stands beside what a symbolic link leads to, so that the link stays one. */
static int open_temporary(struct output *out, const char *path, struct hw_error *err)
{
    int fd = -1;
    out->real = realpath(path, NULL);
    if (!out->real)
        out->real = strdup(path);
    if (!out->real || asprintf(&out->temporary, "%s.XXXXXX", out->real) < 0) {
        errno = ENOMEM;
        out->temporary = NULL;
        int rc = fail(err, "cannot write", path);
        release(out);
        return rc;
    }
    if ((fd = create_guarded(out->temporary)) >= 0)
        out->stream = fdopen(fd, "w");
    if (fd < 0 || !out->stream) {
        int rc = fail(err, "cannot create a file in the directory of", path);
        if (fd >= 0) {
            close(fd);
            unlink(out->temporary);
        }
        release(out);
        return rc;
    }
    /* mkstemp() makes files private; a report keeps the rights of the file that it replaces, or
     * gets those that any new file gets. */
    struct stat old;
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, stat(out->real, &old) == 0 ? old.st_mode & 0777 : 0666 & ~mask);
    return HW_OK;
}

int output_open(struct output *out, const char *path, struct hw_error *err)
{
    *out = (struct output){.stream = stdout, .path = path};
    opened = true;
    if (!path && stdout_closed) {
        errno = EBADF;
        return fail(err, "cannot write", "standard output"); /* before anybody is stopped for it */
    }
    if (!path)
        return HW_OK;
    return is_special(path) ? open_directly(out, path, err) : open_temporary(out, path, err);
}

int output_commit(struct output *out, struct hw_error *err)
{
    int rc = HW_OK;
    if (!out->path)
        return fflush(stdout) == 0 ? HW_OK : fail(err, "cannot write", "standard output");
    if (fclose(out->stream) != 0 || (out->temporary && rename(out->temporary, out->real) != 0)) {
        rc = fail(err, "cannot write", out->path);
        if (out->temporary)
            unlink(out->temporary);
    }
    release(out);
    return rc;
}

void output_discard(struct output *out)
{
    if (!out->path)
        return;
    fclose(out->stream);
    if (out->temporary)
        unlink(out->temporary);
    release(out);
}
