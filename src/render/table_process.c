/*
 * Tables of what belongs to the process: threads, RSS, malloc's parameters, findings.
 */
#include "render/table.h"

#include <string.h>

#define COLUMNS(list) list, sizeof(list) / sizeof *(list)

/* ---- threads --------------------------------------------------------------------------------- */

enum { TID, ARENA, TCACHE_BYTES, TCACHE_CHUNKS };

static struct hw_cell of_thread(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_thread_row *t = &rows->r->threads.data[key.i];
    switch (what) {
    case TID:
        return (struct hw_cell){.kind = HW_CELL_COUNT, .n = t->tid};
    case ARENA:
        return t->arena >= 0 ? (struct hw_cell){.kind = HW_CELL_COUNT, .n = t->arena}
                             : (struct hw_cell){0};
    case TCACHE_BYTES:
        return hw_cell_maybe(t->tcache_bytes, HW_CELL_SIZE);
    default:
        return hw_cell_maybe(t->tcache_chunks, HW_CELL_COUNT);
    }
}

static const struct hw_column thread_columns[] = {
    {"tid", "number of the thread", of_thread, TID, false, 0},
    {"arena", "index of its arena", of_thread, ARENA, false, 0},
    {"tcache_bytes", "freed chunks that it keeps (tcache)", of_thread, TCACHE_BYTES, false, 0},
    {"tcache_chunks", "number of these", of_thread, TCACHE_CHUNKS, false, 0},
};

static bool list_threads(struct hw_rows *rows)
{
    for (size_t i = 0; i < rows->r->threads.count; i++)
        if (hw_shows_arena(rows->opt, rows->r->threads.data[i].arena) &&
            !hw_vec_push(&rows->keys, (struct hw_row_key){.i = i}))
            return false;
    return true;
}

/* ---- RSS, parameters: a name and a value in each row ----------------------------------------- */

#define NAME_(field) #field,

static const char *const rss_names[] = {HW_RSS(NAME_) "unexplained_bytes"};
#define RSS_ROWS (sizeof rss_names / sizeof *rss_names)

static struct hw_cell rss_name(const struct hw_rows *rows, struct hw_row_key key, unsigned arg)
{
    (void)rows;
    (void)arg;
    return hw_cell_words(rss_names[key.i]);
}

static struct hw_cell rss_bytes(const struct hw_rows *rows, struct hw_row_key key, unsigned arg)
{
    const struct hw_rss *rss = &rows->r->rss;
#define VALUE_(field) rss->field,
    const uint64_t values[] = {HW_RSS(VALUE_)};
#undef VALUE_
    (void)arg;
    if (!rss->known)
        return (struct hw_cell){0};
    if (key.i < RSS_ROWS - 1)
        return hw_cell_size(values[key.i]);
    return (struct hw_cell){.kind = HW_CELL_SIZE, .n = rss->unexplained_bytes};
}

static const struct hw_column rss_columns[] = {
    {"name", "what the memory is for", rss_name, 0, true, 0},
    {"bytes", "how much of it is in RAM (swap_bytes: in swap)", rss_bytes, 0, false, 0},
};

static bool list_rss(struct hw_rows *rows)
{
    return hw_rows_number(rows, RSS_ROWS);
}

static const char *const param_names[] = {HW_PARAMS(NAME_)};
#define PARAM_ROWS (sizeof param_names / sizeof *param_names)

static struct hw_cell param_name(const struct hw_rows *rows, struct hw_row_key key, unsigned arg)
{
    (void)rows;
    (void)arg;
    return hw_cell_words(param_names[key.i]);
}

/* What glibc takes for "never" is larger than any size, and no size. */
static struct hw_cell param_value(const struct hw_rows *rows, struct hw_row_key key, unsigned arg)
{
    const struct hw_params *p = &rows->r->params;
#define VALUE_(field) p->field,
    const struct hw_maybe values[] = {HW_PARAMS(VALUE_)};
#undef VALUE_
    const struct hw_maybe *value = &values[key.i];
    const char *name = param_names[key.i];
    (void)arg;
    if (value->known && strcmp(name, "mmap_threshold_dynamic") == 0)
        return hw_cell_yes(value->n);
    bool counts = strncmp(name, "arena_", 6) == 0 || strncmp(name, "n_", 2) == 0 ||
                  strcmp(name, "tcache_count") == 0;
    return hw_cell_maybe(*value, counts || (value->known && hw_is_never(rows->r, value->n))
                                     ? HW_CELL_COUNT
                                     : HW_CELL_SIZE);
}

static const struct hw_column param_columns[] = {
    {"name", "as in malloc's mp_", param_name, 0, true, 0},
    {"value", "what it is set to", param_value, 0, false, 0},
};

static bool list_params(struct hw_rows *rows)
{
    return hw_rows_number(rows, PARAM_ROWS);
}

/* ---- findings -------------------------------------------------------------------------------- */

enum { FINDING_KIND, FINDING_ARENA, FINDING_ADDRESS, FINDING_BYTES, FINDING_TEXT };

static struct hw_cell of_finding(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_finding *f = &rows->r->findings.data[key.i];
    switch (what) {
    case FINDING_KIND:
        return hw_cell_words(hw_finding_name(f->kind));
    case FINDING_ARENA:
        return f->arena >= 0 ? (struct hw_cell){.kind = HW_CELL_COUNT, .n = f->arena}
                             : (struct hw_cell){0};
    case FINDING_ADDRESS:
        return f->address.known ? (struct hw_cell){.kind = HW_CELL_ADDRESS, .address = f->address.n}
                                : (struct hw_cell){0};
    case FINDING_BYTES:
        return hw_cell_maybe(f->bytes, HW_CELL_SIZE);
    default:
        return hw_cell_words(f->text);
    }
}

static const struct hw_column finding_columns[] = {
    {"kind", "note: nothing is missing; any other makes the report partial", of_finding,
     FINDING_KIND, true, 0},
    {"arena", "index of the arena that it is about", of_finding, FINDING_ARENA, false, 0},
    {"address", "where it is", of_finding, FINDING_ADDRESS, false, 0},
    {"bytes", "how many bytes it is about", of_finding, FINDING_BYTES, false, 0},
    {"text", "what was found", of_finding, FINDING_TEXT, true, 0},
};

static bool list_findings(struct hw_rows *rows)
{
    for (size_t i = 0; i < rows->r->findings.count; i++)
        if (hw_shows_arena(rows->opt, rows->r->findings.data[i].arena) &&
            !hw_vec_push(&rows->keys, (struct hw_row_key){.i = i}))
            return false;
    return true;
}

/* ---- tables ---------------------------------------------------------------------------------- */

const struct hw_table hw_table_threads = {"threads", "a row for each thread and its tcache",
                                          "tid,arena,tcache_bytes,tcache_chunks",
                                          COLUMNS(thread_columns), list_threads};

const struct hw_table hw_table_rss = {"rss", "what RSS is for, a row for each part", "name,bytes",
                                      COLUMNS(rss_columns), list_rss};

const struct hw_table hw_table_params = {"params", "a row for each of malloc's parameters",
                                         "name,value", COLUMNS(param_columns), list_params};

const struct hw_table hw_table_findings = {
    "findings", "a row for each thing that is worth knowing, or wrong",
    "kind,arena,address,bytes,text", COLUMNS(finding_columns), list_findings};
