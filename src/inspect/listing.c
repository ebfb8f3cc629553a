/*
 * hw_list_chunks(): every chunk, as a stream.
 *
 * Nobody knows how fast the reader of our output is: it may be `less`, waiting for a key. A live
 * target must not stand still for it. So its blocks go to an unlinked temporary file while it is
 * stopped, and are formatted after it runs again. A core is formatted on the way.
 */
#include "base/cleanup.h"
#include "inspect/session.h"
#include "render/table.h"

#include <errno.h>

struct listing {
    const struct hw_renderer *renderer;
    const struct hw_render_options *opt;
    struct hw_choice columns; /* of a table of chunks; its table is NULL where there is none */
    FILE *out;
    FILE *spool; /* NULL: write at once */
    int failed;  /* errno, where the spool could not be written */
};

static void put_head(struct listing *l, const struct hw_report *r)
{
    if (l->columns.table)
        hw_table_write_head(&l->columns, l->opt, l->out);
    else if (l->renderer->list_head && !l->opt->no_headings)
        l->renderer->list_head(r, l->opt, l->out);
}

static void put_block(struct listing *l, const struct hw_report *r, const struct hw_block *b)
{
    const struct hw_rows rows = {.r = r, .opt = l->opt, .block = b};
    if (l->columns.table)
        hw_table_write_row(&l->columns, &rows, (struct hw_row_key){0}, l->out);
    else
        l->renderer->list_block(r, l->opt, b, l->out);
}

static void head(void *ctx, const struct hw_report *r)
{
    struct listing *l = ctx;
    if (!l->spool)
        put_head(l, r);
}

static int list(void *ctx, const struct hw_report *r, const struct hw_block *b)
{
    struct listing *l = ctx;
    if (!hw_shows_arena(l->opt, b->arena))
        return 0;
    if (l->spool)
        l->failed = fwrite(b, sizeof *b, 1, l->spool) == 1 ? 0 : errno;
    else
        put_block(l, r, b);
    return l->failed || ferror(l->out);
}

static int print_spool(struct listing *l, const struct hw_report *r, struct hw_error *err)
{
    struct hw_block b;
    if (l->failed || fflush(l->spool) != 0 || fseek(l->spool, 0, SEEK_SET) != 0) {
        errno = l->failed ? l->failed : errno;
        hw_fail_errno(err, HW_ERR_SYSTEM, "cannot write a temporary file for the chunks");
        hw_remedy(err, "make room in /tmp, or take a core and list that");
        return HW_ERR_SYSTEM;
    }
    put_head(l, r);
    while (!ferror(l->out) && fread(&b, sizeof b, 1, l->spool) == 1)
        put_block(l, r, &b);
    if (ferror(l->spool))
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot read back the temporary file of chunks");
    return HW_OK;
}

/* Columns of its own, or lines as they always are. */
static int choose(struct listing *l, const struct hw_render_options *opt, struct hw_error *err)
{
    struct hw_render_options chunks = *opt;
    chunks.table = hw_table_chunks.name;
    if (!opt->columns && !opt->raw && !opt->sort)
        return HW_OK;
    return hw_table_choose(&chunks, &l->columns, err);
}

int hw_list_chunks(struct hw_session *s, const struct hw_render_options *opt, FILE *out,
                   struct hw_report **ret, struct hw_error *err)
{
    struct listing l = {.renderer = hw_renderer_find(opt->format), .opt = opt, .out = out};
    *ret = NULL;
    if (!l.renderer || !l.renderer->list_block)
        return hw_fail(err, HW_ERR_USAGE, "format %s cannot list chunks: use text, csv or json",
                       opt->format ? opt->format : "text");
    if (choose(&l, opt, err) != HW_OK)
        return HW_ERR_USAGE;
    hw_autofile FILE *spool = NULL;
    if (s->image.target->who.kind == HW_TARGET_LIVE && !(spool = tmpfile()))
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot create a temporary file");
    l.spool = spool;

    struct hw_walker walker = {.ready = head, .block = list, .ctx = &l, .want_bins = true};
    struct hw_report *r;
    int rc = hw_session_walk(s, &walker, &r, err);
    if (rc != HW_OK)
        return rc;
    rc = hw_check_arena(r, opt, err);
    if (rc == HW_OK && spool)
        rc = print_spool(&l, r, err);
    if (rc == HW_OK && (fflush(out) != 0 || ferror(out)))
        rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the chunks");
    if (rc == HW_OK)
        *ret = r;
    else
        hw_report_destroy(r);
    return rc;
}
