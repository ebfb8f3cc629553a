/*
 * Which table is wanted, which of its columns, in which order: names into what they stand for.
 */
#include "render/table.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define USUAL_TABLE "arenas"

static const struct hw_table *const tables[] = {
    &hw_table_arenas,   &hw_table_heaps,     &hw_table_threads,
    &hw_table_totals,   &hw_table_histogram, &hw_table_in_use_histogram,
    &hw_table_holes,    &hw_table_params,    &hw_table_rss,
    &hw_table_findings, &hw_table_chunks,    NULL,
};

/* ---- names ----------------------------------------------------------------------------------- */

static const struct hw_table *find_table(const char *name)
{
    for (size_t i = 0; tables[i]; i++)
        if (strcasecmp(tables[i]->name, name) == 0)
            return tables[i];
    return NULL;
}

static int no_such_table(const char *name, struct hw_error *err)
{
    char known[200] = "";
    for (size_t i = 0; tables[i]; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 tables[i]->name);
    hw_fail(err, HW_ERR_USAGE, "there is no table \"%.80s\"", name);
    hw_remedy(err, "the tables are %s", known);
    return HW_ERR_USAGE;
}

static const struct hw_column *find_column(const struct hw_table *table, const char *name,
                                           size_t length)
{
    for (size_t i = 0; i < table->count; i++)
        if (strlen(table->columns[i].name) == length &&
            strncasecmp(table->columns[i].name, name, length) == 0)
            return &table->columns[i];
    return NULL;
}

static int no_such_column(const struct hw_table *table, const char *name, size_t length,
                          struct hw_error *err)
{
    int shown = length < 80 ? (int)length : 80;
    if (length == 0)
        hw_fail(err, HW_ERR_USAGE, "a column without a name");
    else
        hw_fail(err, HW_ERR_USAGE, "the table %s has no column \"%.*s\"", table->name, shown, name);
    hw_remedy(err, "these it has:");
    return HW_ERR_USAGE;
}

static bool has_column(const struct hw_choice *c, const struct hw_column *column)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->columns[i] == column)
            return true;
    return false;
}

/* Append the columns of a list of names. */
static int add_columns(struct hw_choice *c, const char *list, struct hw_error *err)
{
    for (;; list++) {
        size_t length = strcspn(list, ",");
        const struct hw_column *column = find_column(c->table, list, length);
        if (!column)
            return no_such_column(c->table, list, length, err);
        if (c->count == HW_COLUMNS_MAX)
            return hw_fail(err, HW_ERR_USAGE, "more than %d columns", HW_COLUMNS_MAX);
        if (c->format != HW_TABLE_JSON || !has_column(c, column)) /* objects have a key once */
            c->columns[c->count++] = column;
        list += length;
        if (!*list)
            return HW_OK;
    }
}

/* ---- what is wanted -------------------------------------------------------------------------- */

bool hw_wants_table(const struct hw_render_options *opt)
{
    return opt->table || opt->columns || opt->sort || opt->raw;
}

static int choose_format(const struct hw_render_options *opt, struct hw_choice *c,
                         struct hw_error *err)
{
    const char *format = opt->format ? opt->format : "text";
    if (strcmp(format, "text") == 0)
        c->format = HW_TABLE_TEXT;
    else if (strcmp(format, "csv") == 0)
        c->format = HW_TABLE_CSV;
    else if (strcmp(format, "json") == 0)
        c->format = HW_TABLE_JSON;
    else
        return hw_fail(err, HW_ERR_USAGE, "tables are written as text, csv or json, not %s",
                       format);
    return HW_OK;
}

static int choose_sort(const struct hw_render_options *opt, struct hw_choice *c,
                       struct hw_error *err)
{
    if (!opt->sort)
        return HW_OK;
    if (!c->table->list)
        return hw_fail(
            err, HW_ERR_USAGE,
            "chunks are written as they are met, and cannot be sorted: sort(1) can do it");
    c->descending = opt->sort[0] == '-';
    const char *name = opt->sort + c->descending;
    c->sort = find_column(c->table, name, strlen(name));
    return c->sort ? HW_OK : no_such_column(c->table, name, strlen(name), err);
}

int hw_table_choose(const struct hw_render_options *opt, struct hw_choice *ret,
                    struct hw_error *err)
{
    const char *name = opt->table ? opt->table : USUAL_TABLE;
    *ret = (struct hw_choice){.table = find_table(name)};
    if (!ret->table)
        return no_such_table(name, err);
    int rc = choose_format(opt, ret, err);
    bool more = opt->columns && opt->columns[0] == '+';
    if (rc == HW_OK && (more || !opt->columns))
        rc = add_columns(ret, ret->table->usual, err);
    if (rc == HW_OK && opt->columns)
        rc = add_columns(ret, opt->columns + more, err);
    return rc == HW_OK ? choose_sort(opt, ret, err) : rc;
}

int hw_check_table(const struct hw_render_options *opt, struct hw_error *err)
{
    struct hw_choice choice;
    return hw_table_choose(opt, &choice, err);
}

int hw_explain_table(const struct hw_render_options *opt, FILE *out, struct hw_error *err)
{
    const char *name = opt->table ? opt->table : USUAL_TABLE;
    const struct hw_table *table = find_table(name);
    if (!table && strcasecmp(name, "help") != 0)
        return no_such_table(name, err);
    for (size_t i = 0; !table && tables[i]; i++)
        fprintf(out, "%-23s %s\n", tables[i]->name, tables[i]->help);
    for (size_t i = 0; table && i < table->count; i++)
        fprintf(out, "%-23s %s\n", table->columns[i].name, table->columns[i].help);
    if (fflush(out) != 0 || ferror(out))
        return hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the names of columns");
    return HW_OK;
}

/* ---- order ----------------------------------------------------------------------------------- */

bool hw_rows_number(struct hw_rows *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!hw_vec_push(&rows->keys, (struct hw_row_key){.i = i}))
            return false;
    return true;
}

struct sorted {
    struct hw_row_key key;
    struct hw_cell cell;
    size_t place; /* among all, so that equal ones stay in their order */
};

static int compare_values(const struct hw_cell *a, const struct hw_cell *b)
{
    switch (a->kind) {
    case HW_CELL_TEXT:
        return strcmp(a->text, b->text);
    case HW_CELL_RATIO:
        return (a->ratio > b->ratio) - (a->ratio < b->ratio);
    case HW_CELL_ADDRESS:
        return (a->address > b->address) - (a->address < b->address);
    default:
        return (a->n > b->n) - (a->n < b->n);
    }
}

/* What is unknown comes last, whichever way. */
static int compare(const void *left, const void *right, void *descending)
{
    const struct sorted *a = left, *b = right;
    bool known_a = a->cell.kind != HW_CELL_UNKNOWN, known_b = b->cell.kind != HW_CELL_UNKNOWN;
    int order = known_a != known_b ? (known_a ? -1 : 1) : 0;
    if (known_a && known_b)
        order = compare_values(&a->cell, &b->cell) * (*(bool *)descending ? -1 : 1);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static bool sort_rows(const struct hw_choice *choice, struct hw_rows *rows)
{
    bool descending = choice->descending;
    size_t count = rows->keys.count;
    struct sorted *list = calloc(count ? count : 1, sizeof *list);
    if (!list)
        return false;
    for (size_t i = 0; i < count; i++)
        list[i] = (struct sorted){
            .key = rows->keys.data[i],
            .cell = choice->sort->get(rows, rows->keys.data[i], choice->sort->arg),
            .place = i,
        };
    qsort_r(list, count, sizeof *list, compare, &descending);
    for (size_t i = 0; i < count; i++) {
        rows->keys.data[i] = list[i].key;
        free(list[i].cell.own);
    }
    free(list);
    return true;
}

int hw_table_render(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                    struct hw_error *err)
{
    struct hw_choice choice;
    struct hw_rows rows = {.r = r, .opt = opt};
    int rc = hw_table_choose(opt, &choice, err);
    if (rc != HW_OK)
        return rc;
    if (!choice.table->list)
        return hw_fail(err, HW_ERR_USAGE, "a report has no chunks: they are listed on their own");
    if (!choice.table->list(&rows) || (choice.sort && !sort_rows(&choice, &rows)))
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for a table");
    else
        rc = hw_table_write(&choice, &rows, out, err);
    hw_vec_free(&rows.keys);
    return rc;
}
