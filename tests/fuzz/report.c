/*
 * Two reports, read back from JSON and compared; the file may hold both, with a 0 between, which is
 * in no JSON. One alone is compared with itself.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "base/printable.h"
#include "diff/diff.h"
#include "render/render.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What is written for each byte that was read: nobody may fill a disk with little. */
#define MOST_FOR_BYTE 20000

static void require_printable(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        size_t step = hw_printable(text, left);
        fuzz_require(step > 0, "a text that is not for a terminal: byte %#x",
                     (unsigned char)text[0]);
        text += step;
        left -= step;
    }
}

static int read_one(const uint8_t *bytes, size_t len, struct hw_saved *ret)
{
    struct hw_error err = {0};
    int rc = hw_saved_read(fuzz_file(bytes, len), ret, &err);
    fuzz_require(rc == HW_OK || (err.code == rc && err.text[0]), "%s for no reason",
                 hw_code_text(rc));
    fuzz_require(rc == HW_OK || rc == HW_ERR_CORRUPT || rc == HW_ERR_UNSUPPORTED, "%s: %s",
                 hw_code_text(rc), err.text);
    require_printable(err.text);
    if (rc != HW_OK) {
        fuzz_require(!ret->arenas.data, "arenas of a report that was refused");
        return rc;
    }
    require_printable(ret->comm);
    require_printable(ret->why_not);
    require_printable(ret->time);
    return rc;
}

/* Every arena of both is in one pair, and in no other; of a report of some arenas that is not
 * said. */
static void check_pairs(const struct hw_diff *d)
{
    size_t olds = 0, news = 0;
    for (size_t i = 0; i < d->arenas.count; i++) {
        const struct hw_arena_pair *p = &d->arenas.data[i];
        fuzz_require(p->before || p->after, "a pair of none");
        for (; p->after && news < d->after.arenas.count; news++)
            if (p->after == &d->after.arenas.data[news])
                break;
        fuzz_require(!p->after || news < d->after.arenas.count, "arenas out of order");
        olds += p->before != NULL;
        news += p->after != NULL;
    }
    fuzz_require(d->after.some_arenas || olds == d->before.arenas.count, "an arena is lost");
    fuzz_require(d->before.some_arenas || news == d->after.arenas.count, "an arena is lost");
}

static void check_form(const struct hw_diff *d, const char *format, size_t len)
{
    struct hw_render_options opt = {.format = format, .all_arenas = true, .exact = len % 2};
    struct hw_error err = {0};
    hw_autofree char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    fuzz_require(out != NULL, "no memory");
    int rc = hw_diff_render(d, &opt, out, &err);
    fuzz_require(rc == HW_OK, "%s: %s", format, err.text);
    fuzz_require(fclose(out) == 0 && text, "no memory");
    fuzz_require(size / MOST_FOR_BYTE <= len, "%zu bytes of %s from %zu bytes", size, format, len);
    if (strcmp(format, "json") == 0) {
        json_error_t why;
        json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
        fuzz_require(root != NULL, "no JSON: %s", why.text);
        json_decref(root);
        return;
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        require_printable(line);
}

static void run(const uint8_t *bytes, size_t len)
{
    const uint8_t *zero = len ? memchr(bytes, 0, len) : NULL;
    size_t first = zero ? (size_t)(zero - bytes) : len;
    const uint8_t *other = zero ? zero + 1 : bytes;
    size_t other_len = zero ? len - first - 1 : len;
    struct hw_error err = {0};
    struct hw_diff *d = calloc(1, sizeof *d);
    fuzz_require(d != NULL, "no memory");
    if (read_one(bytes, first, &d->before) == HW_OK &&
        read_one(other, other_len, &d->after) == HW_OK) {
        fuzz_require(hw_diff_match(d, &err) == HW_OK, "%s", err.text);
        check_pairs(d);
        for (size_t i = 0; i < d->notes.count; i++)
            require_printable(d->notes.data[i]);
        check_form(d, "text", len);
        check_form(d, "json", len);
        check_form(d, "csv", len);
    }
    hw_diff_destroy(d);
}

const struct fuzzer fuzz_report = {"report", run};
