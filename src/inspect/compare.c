/*
 * hw_diff_open() and what belongs to it.
 */
#include "diff/diff.h"
#include "render/render.h"

int hw_diff_open(const char *before, const char *after, struct hw_diff **ret, struct hw_error *err)
{
    *ret = NULL;
    struct hw_diff *d = calloc(1, sizeof *d);
    if (!d)
        return hw_fail(err, HW_ERR_NOMEM, "no memory to compare the reports");
    int rc = hw_saved_read(before, &d->before, err);
    if (rc == HW_OK)
        rc = hw_saved_read(after, &d->after, err);
    if (rc == HW_OK)
        rc = hw_diff_match(d, err);
    if (rc == HW_OK)
        *ret = d;
    else
        hw_diff_destroy(d);
    return rc;
}

void hw_diff_destroy(struct hw_diff *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->notes.count; i++)
        free(d->notes.data[i]);
    hw_vec_free(&d->notes);
    hw_vec_free(&d->arenas);
    hw_saved_deinit(&d->before);
    hw_saved_deinit(&d->after);
    free(d);
}

bool hw_diff_complete(const struct hw_diff *d)
{
    return d->before.complete && d->after.complete;
}

const char *hw_diff_note(const struct hw_diff *d, size_t i)
{
    return i < d->notes.count ? d->notes.data[i] : NULL;
}
