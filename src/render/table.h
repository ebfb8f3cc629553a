/*
 * Parts of a report as tables for scripts: rows, and columns that one chooses by name.
 *
 *     struct hw_table     arenas, threads, ...: its rows, its columns     table_arenas.c and others
 *     struct hw_choice    what of it is wanted                            table.c
 *     text, csv, json     how it is written                               table_write.c
 *
 * To add a column: a line in the list of its table. To add a table: a struct hw_table, and a line
 * in table.c. The names of columns are those of the JSON report, with a dot where that has an
 * object in an object.
 */
#ifndef HW_RENDER_TABLE_H
#define HW_RENDER_TABLE_H

#include "render/render.h"

/* ---- fields --------------------------------------------------------------------------------- */

enum hw_cell_kind {
    HW_CELL_UNKNOWN,
    HW_CELL_SIZE,
    HW_CELL_COUNT,
    HW_CELL_RATIO,
    HW_CELL_ADDRESS,
    HW_CELL_YES_NO,
    HW_CELL_TEXT,
};

struct hw_cell {
    enum hw_cell_kind kind;
    union {
        int64_t n; /* SIZE, COUNT, YES_NO */
        double ratio;
        hw_addr address;
        const char *text; /* lives as long as the report, or is `own` */
    };
    char *own; /* to be freed */
};

/* "1.20G" ("1288490189" with `exact`), "1234", "0x7f00", "yes". NULL: unknown. `buf` is used where
 * it is needed. */
#define HW_CELL_TEXT_MAX 32
const char *hw_cell_text(const struct hw_cell *c, bool exact, char buf[HW_CELL_TEXT_MAX]);

/* Those that are not known give no value: JSON's null. */
struct hw_cell hw_cell_size(uint64_t n);
struct hw_cell hw_cell_maybe(struct hw_maybe m, enum hw_cell_kind kind);
struct hw_cell hw_cell_figure(const struct hw_figure *f, enum hw_unit unit);
struct hw_cell hw_cell_words(const char *s); /* NULL and "" are unknown */
struct hw_cell hw_cell_address(hw_addr a);   /* so is 0 */
struct hw_cell hw_cell_yes(bool yes);

/* ---- tables --------------------------------------------------------------------------------- */

/* Which arena, thread, ... a row is about; and which heap of that arena. */
struct hw_row_key {
    size_t i, k;
};

struct hw_rows {
    const struct hw_report *r;
    const struct hw_render_options *opt;
    const struct hw_block *block; /* the one row of the table of chunks */
    HW_VEC(struct hw_row_key) keys;
};

struct hw_column {
    const char *name, *help;
    struct hw_cell (*get)(const struct hw_rows *rows, struct hw_row_key key, unsigned arg);
    unsigned arg;
    bool left;      /* text: left-aligned, as words are */
    unsigned width; /* text: of columns whose rows are not known before they are written */
};

struct hw_table {
    const char *name, *help;
    const char *usual; /* the columns that are shown where nobody asks for any: names and commas */
    const struct hw_column *columns;
    size_t count;
    /* Fill rows->keys; false when memory is out. NULL: rows come one by one (chunks). */
    bool (*list)(struct hw_rows *rows);
};

extern const struct hw_table hw_table_arenas, hw_table_heaps, hw_table_threads, hw_table_totals,
    hw_table_histogram, hw_table_in_use_histogram, hw_table_holes, hw_table_params, hw_table_rss,
    hw_table_findings, hw_table_chunks;

/* `count` rows, numbered. */
bool hw_rows_number(struct hw_rows *rows, size_t count);

/* ---- what is wanted ------------------------------------------------------------------------- */

/* One may be asked for more than once. */
#define HW_COLUMNS_MAX 256

struct hw_choice {
    const struct hw_table *table;
    const struct hw_column *columns[HW_COLUMNS_MAX];
    size_t count;
    const struct hw_column *sort; /* or NULL */
    bool descending;
    enum { HW_TABLE_TEXT, HW_TABLE_CSV, HW_TABLE_JSON } format;
};

/* Whether a table is asked for at all. */
bool hw_wants_table(const struct hw_render_options *opt);
/* USAGE. */
int hw_table_choose(const struct hw_render_options *opt, struct hw_choice *ret,
                    struct hw_error *err);
/* USAGE, OUTPUT, NOMEM. */
int hw_table_render(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                    struct hw_error *err);

/* ---- how it is written ---------------------------------------------------------------------- */

/* All rows, as they are. OUTPUT, NOMEM. */
int hw_table_write(const struct hw_choice *choice, const struct hw_rows *rows, FILE *out,
                   struct hw_error *err);
/* One by one: the headings, then each row. */
void hw_table_write_head(const struct hw_choice *choice, const struct hw_render_options *opt,
                         FILE *out);
void hw_table_write_row(const struct hw_choice *choice, const struct hw_rows *rows,
                        struct hw_row_key key, FILE *out);

/* A field of CSV, in quotes where it needs them. */
void hw_csv_text(FILE *out, const char *s);

#endif
