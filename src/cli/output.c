#include "output.h"

#include <errno.h>
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

int output_open(struct output *out, const char *path, struct hw_error *err)
{
    *out = (struct output){.stream = stdout, .path = path};
    if (!path)
        return HW_OK;
    if (asprintf(&out->temporary, "%s.XXXXXX", path) < 0) {
        out->temporary = NULL;
        errno = ENOMEM;
        return fail(err, "cannot write", path);
    }
    int fd = mkstemp(out->temporary);
    if (fd < 0 || !(out->stream = fdopen(fd, "w"))) {
        int rc = fail(err, "cannot create a file beside", path);
        if (fd >= 0) {
            close(fd);
            unlink(out->temporary);
        }
        free(out->temporary);
        *out = (struct output){.stream = stdout};
        return rc;
    }
    /* mkstemp() makes files private; a report gets the rights that any new file gets. */
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    return HW_OK;
}

int output_commit(struct output *out, struct hw_error *err)
{
    int rc = HW_OK;
    if (!out->path)
        return fflush(stdout) == 0 ? HW_OK : fail(err, "cannot write", "standard output");
    if (fclose(out->stream) != 0 || rename(out->temporary, out->path) != 0) {
        rc = fail(err, "cannot write", out->path);
        unlink(out->temporary);
    }
    free(out->temporary);
    *out = (struct output){.stream = stdout};
    return rc;
}

void output_discard(struct output *out)
{
    if (!out->path)
        return;
    fclose(out->stream);
    unlink(out->temporary);
    free(out->temporary);
    *out = (struct output){.stream = stdout};
}
