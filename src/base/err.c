#include "base/err.h"
#include "base/printable.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void fill(struct hw_error *err, int code, int sys_errno, const char *fmt, va_list ap)
{
    memset(err, 0, sizeof *err);
    err->code = code;
    err->sys_errno = sys_errno;
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    hw_make_printable(err->text); /* also what was cut in the middle of a character */
    if (sys_errno == 0 || n < 0 || (size_t)n >= sizeof err->text)
        return;
    char buf[128];
    snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s",
             strerror_r(sys_errno, buf, sizeof buf));
}

int hw_fail(struct hw_error *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, 0, fmt, ap);
    va_end(ap);
    return code;
}

int hw_fail_errno(struct hw_error *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, saved, fmt, ap);
    va_end(ap);
    errno = saved;
    return code;
}

void hw_remedy(struct hw_error *err, const char *fmt, ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->remedy, sizeof err->remedy, fmt, ap);
    hw_make_printable(err->remedy);
    va_end(ap);
}

const char *hw_code_text(int code)
{
    switch (code) {
    case HW_OK:
        return "success";
#define HW_ERROR_CASE(id, text)                                                                    \
    case HW_ERR_##id:                                                                              \
        return text;
        HW_ERRORS(HW_ERROR_CASE)
#undef HW_ERROR_CASE
    default:
        return "unknown error";
    }
}
