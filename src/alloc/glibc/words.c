/*
 * Before glibc aborts a process that has smashed its heap (or failed an assertion) it leaves what
 * it has to say in a mapping of its own, for debuggers (assert/assert.c,
 * sysdeps/posix/libc_fatal.c; all versions since 2.17):
 *
 *     __abort_msg ---> struct abort_msg_s { unsigned int size; char msg[]; }
 */
#include "alloc/glibc/glibc.h"

#include "base/printable.h"

#include <ctype.h>

#define SIZE_BYTES 4

void glibc_read_last_words(struct walk *w)
{
    struct hw_abort *a = &w->report->abort;
    uint64_t at;
    char bytes[SIZE_BYTES + HW_LAST_WORDS];
    a->arena = -1;
    if (!w->g->abort_msg || hw_read_word(w->target, w->g->abort_msg, &at, NULL) != HW_OK || at == 0)
        return;
    ssize_t got = hw_read(w->target, at, bytes, sizeof bytes, NULL);
    if (got <= SIZE_BYTES)
        return;
    uint64_t size = hw_word((const uint8_t *)bytes, SIZE_BYTES); /* of all of it */
    size_t len = size < (uint64_t)got ? (size_t)size : (size_t)got, said = 0;
    while (said < HW_LAST_WORDS - 1 && SIZE_BYTES + said < len && bytes[SIZE_BYTES + said])
        said++;
    while (said && isspace((unsigned char)bytes[SIZE_BYTES + said - 1]))
        said--; /* the end of the line */
    memcpy(a->message, bytes + SIZE_BYTES, said);
    a->message[said] = '\0';
    hw_make_printable(a->message);
    a->said = said != 0;
}
