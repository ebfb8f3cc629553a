/*
 * A table as text, as CSV, as JSON Lines. What is unknown is "-" in text, an empty field in CSV,
 * null in JSON, and never 0.
 */
#include "base/cleanup.h"
#include "render/json.h"
#include "render/table.h"

#include <ctype.h>
#include <libsmartcols/libsmartcols.h>
#include <string.h>

#define HEADING_MAX 40
#define GAP         "  "

static char *heading(const struct hw_column *c, char buf[HEADING_MAX])
{
    snprintf(buf, HEADING_MAX, "%s", c->name);
    for (char *p = buf; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return buf;
}

/* ---- CSV ------------------------------------------------------------------------------------ */

void hw_csv_text(FILE *out, const char *s)
{
    if (!s[strcspn(s, ",\"\r\n")]) {
        fputs(s, out);
        return;
    }
    putc('"', out);
    for (; *s; s++) {
        if (*s == '"')
            putc('"', out);
        putc(*s, out);
    }
    putc('"', out);
}

static void csv_head(const struct hw_choice *choice, FILE *out)
{
    for (size_t c = 0; c < choice->count; c++)
        fprintf(out, "%s%s", c ? "," : "", choice->columns[c]->name);
    putc('\n', out);
}

static void csv_cell(const struct hw_cell *cell, FILE *out)
{
    char buf[HW_CELL_TEXT_MAX];
    const char *text = hw_cell_text(cell, true, buf);
    if (cell->kind == HW_CELL_YES_NO)
        text = cell->n ? "1" : "0";
    if (text)
        hw_csv_text(out, text);
}

/* ---- JSON Lines ----------------------------------------------------------------------------- */

static bool is_plain(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
            return false;
    return true;
}

static void json_text(const char *s, FILE *out)
{
    if (is_plain(s)) {
        fprintf(out, "\"%s\"", s);
        return;
    }
    json_t *value = hw_json_text(s);
    if (!value || json_dumpf(value, out, JSON_ENCODE_ANY) != 0)
        fputs("null", out);
    json_decref(value);
}

static void json_cell(const struct hw_cell *cell, FILE *out)
{
    char buf[HW_CELL_TEXT_MAX];
    const char *text = hw_cell_text(cell, true, buf);
    if (!text)
        fputs("null", out);
    else if (cell->kind == HW_CELL_YES_NO)
        fputs(cell->n ? "true" : "false", out);
    else if (cell->kind == HW_CELL_TEXT || cell->kind == HW_CELL_ADDRESS)
        json_text(text, out);
    else
        fputs(text, out);
}

/* ---- text, row by row ----------------------------------------------------------------------- */

/* Nothing that moves a cursor, and for raw text no blank: as libsmartcols writes them. */
static void put_careful(const char *s, bool raw, FILE *out)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < ' ' || c == 0x7f || (raw && (c == ' ' || c == '\\')))
            fprintf(out, "\\x%02x", c);
        else
            putc(c, out);
    }
}

static void text_cell(const struct hw_column *c, const char *text, bool raw, bool last, FILE *out)
{
    int fill = raw ? 0 : (int)c->width - (int)strlen(text);
    fprintf(out, "%*s", !c->left && fill > 0 ? fill : 0, "");
    put_careful(text, raw, out);
    fprintf(out, "%*s", c->left && !last && fill > 0 ? fill : 0, "");
}

/* ---- rows ----------------------------------------------------------------------------------- */

void hw_table_write_head(const struct hw_choice *choice, const struct hw_render_options *opt,
                         FILE *out)
{
    char buf[HEADING_MAX];
    if (opt->no_headings || choice->format == HW_TABLE_JSON)
        return;
    if (choice->format == HW_TABLE_CSV) {
        csv_head(choice, out);
        return;
    }
    for (size_t c = 0; c < choice->count; c++) {
        fputs(!c ? "" : opt->raw ? " " : GAP, out);
        text_cell(choice->columns[c], heading(choice->columns[c], buf), opt->raw,
                  c + 1 == choice->count, out);
    }
    putc('\n', out);
}

void hw_table_write_row(const struct hw_choice *choice, const struct hw_rows *rows,
                        struct hw_row_key key, FILE *out)
{
    bool raw = rows->opt->raw, json = choice->format == HW_TABLE_JSON;
    if (json)
        putc('{', out);
    for (size_t c = 0; c < choice->count; c++) {
        const struct hw_column *column = choice->columns[c];
        struct hw_cell cell = column->get(rows, key, column->arg);
        char buf[HW_CELL_TEXT_MAX];
        const char *text = hw_cell_text(&cell, rows->opt->exact, buf);
        if (json) {
            fprintf(out, "%s\"%s\":", c ? "," : "", column->name);
            json_cell(&cell, out);
        } else if (choice->format == HW_TABLE_CSV) {
            fputs(c ? "," : "", out);
            csv_cell(&cell, out);
        } else {
            fputs(!c ? "" : raw ? " " : GAP, out);
            text_cell(column, text ? text : "-", raw, c + 1 == choice->count, out);
        }
        free(cell.own);
    }
    fputs(json ? "}\n" : "\n", out);
}

/* ---- text, all at once, so that columns are as wide as they need to be ---------------------- */

static bool add_row(struct libscols_table *table, const struct hw_choice *choice,
                    const struct hw_rows *rows, struct hw_row_key key)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);
    bool ok = line != NULL;
    for (size_t c = 0; ok && c < choice->count; c++) {
        struct hw_cell cell = choice->columns[c]->get(rows, key, choice->columns[c]->arg);
        char buf[HW_CELL_TEXT_MAX];
        const char *text = hw_cell_text(&cell, rows->opt->exact, buf);
        ok = scols_line_set_data(line, c, text ? text : "-") == 0;
        free(cell.own);
    }
    return ok;
}

static bool fill(struct libscols_table *table, const struct hw_choice *choice,
                 const struct hw_rows *rows)
{
    char buf[HEADING_MAX];
    bool ok = scols_table_set_column_separator(table, rows->opt->raw ? " " : GAP) == 0 &&
              scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER) == 0 &&
              scols_table_enable_raw(table, rows->opt->raw) == 0 &&
              scols_table_enable_noheadings(table, rows->opt->no_headings) == 0;
    for (size_t c = 0; ok && c < choice->count; c++)
        ok = scols_table_new_column(table, heading(choice->columns[c], buf), 0,
                                    choice->columns[c]->left ? 0 : SCOLS_FL_RIGHT) != NULL;
    for (size_t i = 0; ok && i < rows->keys.count; i++)
        ok = add_row(table, choice, rows, rows->keys.data[i]);
    return ok;
}

static int write_text(const struct hw_choice *choice, const struct hw_rows *rows, FILE *out,
                      struct hw_error *err)
{
    struct libscols_table *table = scols_new_table();
    hw_autofree char *text = NULL;
    /* Of a table without rows, libsmartcols writes not even the headings. */
    bool ok = table && fill(table, choice, rows) &&
              (rows->keys.count == 0 || scols_print_table_to_string(table, &text) == 0);
    scols_unref_table(table);
    if (!ok)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for a table");
    if (text)
        fprintf(out, "%s\n", text); /* it ends the lines between, not the last */
    else
        hw_table_write_head(choice, rows->opt, out);
    return HW_OK;
}

int hw_table_write(const struct hw_choice *choice, const struct hw_rows *rows, FILE *out,
                   struct hw_error *err)
{
    if (choice->format == HW_TABLE_TEXT)
        return write_text(choice, rows, out, err);
    hw_table_write_head(choice, rows->opt, out);
    for (size_t i = 0; i < rows->keys.count; i++)
        hw_table_write_row(choice, rows, rows->keys.data[i], out);
    return HW_OK;
}
