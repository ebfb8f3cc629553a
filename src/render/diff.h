/*
 * What the forms of a comparison share.
 */
#ifndef HW_RENDER_DIFF_H
#define HW_RENDER_DIFF_H

#include "model/diff.h"
#include "render/render.h"

/* What grew, in one line: "in use +10.0 MiB, ...". At most `size` bytes; buf is returned. */
#define HW_SUMMARY_MAX 512
char *hw_diff_summary(const struct hw_diff *d, bool exact, char buf[HW_SUMMARY_MAX]);

/* Time between the reports in seconds, 0 if unknown; negative where they are in the wrong order. */
double hw_diff_seconds(const struct hw_diff *d);

/* "both", "new", "gone". */
const char *hw_pair_state(const struct hw_arena_pair *p);

/* "+1.20 MiB", "-32 B", "0", "-" if unknown. */
#define HW_CHANGE_TEXT 32
char *hw_change_text(char buf[HW_CHANGE_TEXT], struct hw_figure change, bool exact);

/* The sizes of a bucket: "1 KiB - 2 KiB". */
char *hw_bucket_text(char buf[HW_CHANGE_TEXT + HW_CHANGE_TEXT], unsigned bucket);

/* Whether anything of it differs, or may. */
bool hw_bucket_changed(const struct hw_diff *d, unsigned bucket);
bool hw_pair_changed(const struct hw_arena_pair *p);

int hw_diff_text(const struct hw_diff *d, const struct hw_render_options *opt, FILE *out,
                 struct hw_error *err);
int hw_diff_json(const struct hw_diff *d, const struct hw_render_options *opt, FILE *out,
                 struct hw_error *err);
int hw_diff_csv(const struct hw_diff *d, const struct hw_render_options *opt, FILE *out,
                struct hw_error *err);

#endif
