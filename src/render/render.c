#include "render/render.h"

#include "render/table.h"

#include <errno.h>
#include <string.h>

static const struct hw_renderer *const renderers[] = {
    &hw_render_text,         &hw_render_json, &hw_render_malloc_info,
    &hw_render_malloc_stats, &hw_render_csv,  NULL,
};

/* The same, as the public interface has it. */
static const struct hw_format formats[] = {
    HW_FORMAT_TEXT,         HW_FORMAT_JSON, HW_FORMAT_MALLOC_INFO,
    HW_FORMAT_MALLOC_STATS, HW_FORMAT_CSV,  {NULL, NULL, NULL, false},
};

const struct hw_format *hw_formats(void)
{
    return formats;
}

const struct hw_renderer *hw_renderer_find(const char *name)
{
    if (!name)
        return &hw_render_text;
    for (size_t i = 0; renderers[i]; i++)
        if (strcmp(renderers[i]->format.name, name) == 0)
            return renderers[i];
    return NULL;
}

static int no_such_format(const char *name, struct hw_error *err)
{
    char known[128] = "";
    for (size_t i = 0; formats[i].name; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 formats[i].name);
    hw_fail(err, HW_ERR_USAGE, "there is no format \"%s\"", name);
    hw_remedy(err, "the formats are %s", known);
    return HW_ERR_USAGE;
}

int hw_check_arena(const struct hw_report *r, const struct hw_render_options *opt,
                   struct hw_error *err)
{
    size_t count = r->arenas.count;
    int arena = opt->arena;
    if (!opt->only_arena || (arena >= 0 && (size_t)arena < count))
        return HW_OK;
    if (count == 0)
        return hw_fail(err, HW_ERR_USAGE, "there is no arena %d: this heap has none", arena);
    if (count == 1)
        return hw_fail(err, HW_ERR_USAGE, "there is no arena %d: this heap has only arena 0",
                       arena);
    return hw_fail(err, HW_ERR_USAGE, "there is no arena %d: this heap has arenas 0 to %zu", arena,
                   count - 1);
}

int hw_render(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
              struct hw_error *err)
{
    static const struct hw_render_options defaults;
    if (!opt)
        opt = &defaults;
    const struct hw_renderer *renderer = hw_renderer_find(opt->format);
    if (!renderer)
        return no_such_format(opt->format, err);
    if (hw_check_arena(r, opt, err) != HW_OK)
        return HW_ERR_USAGE;

    errno = 0;
    int rc = hw_wants_table(opt) ? hw_table_render(r, opt, out, err)
                                 : renderer->report(r, opt, out, err);
    if (rc != HW_OK)
        return rc;
    if (fflush(out) != 0 || ferror(out))
        return errno ? hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the report")
                     : hw_fail(err, HW_ERR_OUTPUT, "cannot write the report");
    return HW_OK;
}
