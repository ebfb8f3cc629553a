/*
 * As much of libsmartcols as heapwalk uses, for systems that have no static one: columns as wide as
 * the widest cell, on either side, two kinds of separators. Printed is what libsmartcols would
 * print; the tests compare the two.
 */
#include "base/cleanup.h"
#include "base/vec.h"

#include <ctype.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct libscols_column {
    char *name;
    size_t width;
    bool right;
};

struct libscols_line {
    char **cells; /* NULL: empty */
    size_t count;
};

struct libscols_table {
    HW_VEC(struct libscols_column *) columns;
    HW_VEC(struct libscols_line *) lines;
    char *separator;
    bool raw, headless;
};

struct libscols_table *scols_new_table(void)
{
    return calloc(1, sizeof(struct libscols_table));
}

void scols_unref_table(struct libscols_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->lines.count; i++) {
        for (size_t c = 0; c < t->lines.data[i]->count; c++)
            free(t->lines.data[i]->cells[c]);
        free(t->lines.data[i]->cells);
        free(t->lines.data[i]);
    }
    for (size_t c = 0; c < t->columns.count; c++) {
        free(t->columns.data[c]->name);
        free(t->columns.data[c]);
    }
    hw_vec_free(&t->lines);
    hw_vec_free(&t->columns);
    free(t->separator);
    free(t);
}

/* ---- what it looks like --------------------------------------------------------------------- */

int scols_table_set_column_separator(struct libscols_table *t, const char *separator)
{
    free(t->separator);
    t->separator = strdup(separator);
    return t->separator ? 0 : -1;
}

int scols_table_enable_raw(struct libscols_table *t, int enable)
{
    t->raw = enable;
    return 0;
}

int scols_table_enable_noheadings(struct libscols_table *t, int enable)
{
    t->headless = enable;
    return 0;
}

/* Our tables are never wider than they may be. */
int scols_table_set_termforce(struct libscols_table *t, int force)
{
    (void)t;
    (void)force;
    return 0;
}

int scols_table_set_termwidth(struct libscols_table *t, size_t width)
{
    (void)t;
    (void)width;
    return 0;
}

/* ---- what it holds -------------------------------------------------------------------------- */

/* `hint` is the least width, where it is 1 or more. */
struct libscols_column *scols_table_new_column(struct libscols_table *t, const char *name,
                                               double hint, int flags)
{
    struct libscols_column *c = calloc(1, sizeof *c);
    if (!c || !(c->name = strdup(name)) || !hw_vec_push(&t->columns, c)) {
        free(c ? c->name : NULL);
        free(c);
        return NULL;
    }
    c->width = hint >= 1 ? (size_t)hint : 0;
    c->right = flags & SCOLS_FL_RIGHT;
    return c;
}

struct libscols_line *scols_table_new_line(struct libscols_table *t, struct libscols_line *parent)
{
    (void)parent;
    struct libscols_line *line = calloc(1, sizeof *line);
    if (!line)
        return NULL;
    line->count = t->columns.count;
    line->cells = calloc(line->count ? line->count : 1, sizeof *line->cells);
    if (!line->cells || !hw_vec_push(&t->lines, line)) {
        free(line->cells);
        free(line);
        return NULL;
    }
    return line;
}

int scols_line_set_data(struct libscols_line *line, size_t n, const char *data)
{
    if (n >= line->count)
        return -1;
    free(line->cells[n]);
    line->cells[n] = strdup(data);
    return line->cells[n] ? 0 : -1;
}

/* ---- printing ------------------------------------------------------------------------------- */

/* How many columns of a terminal a text takes; one for each byte that is no text. */
static size_t width_of(const char *text)
{
    wchar_t wide[512];
    size_t n = mbstowcs(wide, text, sizeof wide / sizeof *wide);
    int width = n < sizeof wide / sizeof *wide ? wcswidth(wide, n) : -1;
    return width >= 0 ? (size_t)width : strlen(text);
}

/* A cell of one word: what would end it is written as \xNN. */
static void put_raw(const char *text, FILE *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (isblank(*p) || *p == '\\' || iscntrl(*p))
            fprintf(out, "\\x%02x", *p);
        else
            putc(*p, out);
    }
}

static void put_cell(const struct libscols_table *t, size_t c, const char *text, FILE *out)
{
    const struct libscols_column *column = t->columns.data[c];
    size_t width = width_of(text);
    int padding = width < column->width ? (int)(column->width - width) : 0;
    if (c > 0)
        fputs(t->separator ? t->separator : " ", out);
    if (t->raw) {
        put_raw(text, out);
        return;
    }
    fprintf(out, "%*s%s", column->right ? padding : 0, "", text);
    if (!column->right && c + 1 < t->columns.count)
        fprintf(out, "%*s", padding, "");
}

static void measure(struct libscols_table *t)
{
    for (size_t c = 0; c < t->columns.count; c++) {
        size_t *most = &t->columns.data[c]->width;
        size_t width = t->headless ? 0 : width_of(t->columns.data[c]->name);
        *most = width > *most ? width : *most;
        for (size_t i = 0; i < t->lines.count; i++) {
            width = t->lines.data[i]->cells[c] ? width_of(t->lines.data[i]->cells[c]) : 0;
            *most = width > *most ? width : *most;
        }
    }
}

int scols_print_table_to_string(struct libscols_table *t, char **ret)
{
    size_t size;
    FILE *out = open_memstream(ret, &size);
    if (!out)
        return -1;
    measure(t);
    for (size_t c = 0; !t->headless && c < t->columns.count; c++)
        put_cell(t, c, t->columns.data[c]->name, out);
    for (size_t i = 0; i < t->lines.count; i++) {
        if (i > 0 || !t->headless)
            putc('\n', out);
        for (size_t c = 0; c < t->columns.count; c++)
            put_cell(t, c, t->lines.data[i]->cells[c] ? t->lines.data[i]->cells[c] : "", out);
    }
    return fclose(out) == 0 ? 0 : -1;
}
