/*
 * Renderers print a report, and some of them a stream of blocks. No renderer can cause a read of
 * the target: it has only the report. Scalars are printed by looping over metrics.def.
 *
 * To add a format: its name below, a file here with its struct hw_renderer last, one line in each
 * of the two tables of render.c.
 */
#ifndef HW_RENDER_RENDER_H
#define HW_RENDER_RENDER_H

#include "base/size.h"
#include "model/dryrun.h"

/* What each format is called: name, extension of its files, help, whether it lists chunks. */
#define HW_FORMAT_(...)                                                                            \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define HW_FORMAT_TEXT        HW_FORMAT_("text", "txt", "for people (the default)", true)
#define HW_FORMAT_JSON        HW_FORMAT_("json", "json", "for programs; chunks as JSON Lines", true)
#define HW_FORMAT_MALLOC_INFO HW_FORMAT_("malloc_info", "xml", "as malloc_info(3) prints it", false)
#define HW_FORMAT_MALLOC_STATS                                                                     \
    HW_FORMAT_("malloc_stats", NULL, "as malloc_stats(3), not wrapped", false)
#define HW_FORMAT_CSV HW_FORMAT_("csv", "csv", "one row per arena, or per chunk", true)

struct hw_renderer {
    struct hw_format format;
    /* Print the report. OUTPUT, NOMEM. */
    int (*report)(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                  struct hw_error *err);
    /* Listing of chunks, one at a time; NULL where the format cannot. `head` comes before the first
     * (the report already has its arenas) and may be NULL. */
    void (*list_head)(const struct hw_report *r, const struct hw_render_options *opt, FILE *out);
    void (*list_block)(const struct hw_report *r, const struct hw_render_options *opt,
                       const struct hw_block *b, FILE *out);
};

/* The renderer called `name`; NULL means "text". NULL if there is none. */
const struct hw_renderer *hw_renderer_find(const char *name);

extern const struct hw_renderer hw_render_text, hw_render_json, hw_render_malloc_info,
    hw_render_malloc_stats, hw_render_csv;

/* What an address is: formats text and json. USAGE for any other, OUTPUT, NOMEM. */
int hw_render_whatis(const struct hw_whatis *what, const struct hw_report *r,
                     const struct hw_render_options *opt, FILE *out, struct hw_error *err);

/* What would be done: formats text and json. USAGE for any other, OUTPUT, NOMEM. */
int hw_render_dryrun(const struct hw_dryrun *d, const struct hw_render_options *opt, FILE *out,
                     struct hw_error *err);

/* ---- shared by renderers --------------------------------------------------------------------- */

/* Size of a user pointer's distance from its chunk: 2 * word of the target. */
static inline unsigned hw_header_bytes(const struct hw_report *r)
{
    return 2 * r->target.word;
}

/* Whether the program got a pointer to this block (even if it has freed it since). */
static inline bool hw_has_pointer(const struct hw_block *b)
{
    return b->state == HW_USED || b->state == HW_MMAPPED || b->state == HW_CACHED ||
           b->state == HW_PARKED;
}

/* Whether there is the arena that is asked for, if any: USAGE. */
int hw_check_arena(const struct hw_report *r, const struct hw_render_options *opt,
                   struct hw_error *err);

/* False where opt->only_arena hides arena `index`. */
static inline bool hw_shows_arena(const struct hw_render_options *opt, int index)
{
    return !opt->only_arena || opt->arena == index;
}

#endif
