/*
 * The order of steps; see glibc.h.
 */
#include "alloc/glibc/check.h"

#include <string.h>

static bool detect(const struct hw_image *image)
{
    if (glibc_find_libc(image))
        return true;
    /* A static executable may hold glibc: only its symbols can tell, and open() reads those. */
    for (size_t i = 0; i < hw_modules_count(image->modules); i++)
        if (hw_modules_get(image->modules, i)->is_exe)
            return true;
    return false;
}

static void close_glibc(void *state)
{
    struct glibc *g = state;
    if (!g)
        return;
    glibc_close_acts(g);
    glibc_release_roots(g);
    free(g);
}

static int open_glibc(const struct hw_image *image, void **ret, struct hw_error *err)
{
    *ret = NULL;
    struct glibc *g = calloc(1, sizeof *g);
    if (!g)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for the backend");
    g->image = *image;
    int rc = glibc_find_roots(g, err);
    if (rc == HW_OK)
        rc = glibc_open_acts(g, err);
    if (rc == HW_OK)
        *ret = g;
    else
        close_glibc(g);
    return rc;
}

static void describe(struct walk *w)
{
    const struct glibc *g = w->g;
    struct hw_report *r = w->report;
    r->allocator.name = "glibc";
    /* Without the libc's file its layout must tell what malloc_info(3) would print. */
    const char *version = g->version;
    if (!version && !hw_has(w->layout, GLIBC_F_FASTBINS))
        version = "2.43 or newer";
    r->allocator.version = version ? strdup(version) : NULL;
    r->allocator.libc_path = g->libc_path ? strdup(g->libc_path) : NULL;
    r->allocator.libc_build_id = g->libc_build_id ? strdup(g->libc_build_id) : NULL;
    r->allocator.layout_source = g->layout_source;
    r->allocator.roots_source = g->roots_source;
    r->allocator.main_arena = g->main_arena;
}

static int walk_all(struct walk *w, struct hw_error *err)
{
    int rc;
    if ((rc = glibc_find_stretches(w, err)) != HW_OK || (rc = glibc_read_params(w, err)) != HW_OK ||
        (rc = glibc_read_arenas(w, err)) != HW_OK || (rc = glibc_decide_links(w, err)) != HW_OK ||
        (rc = glibc_read_tcaches(w, err)) != HW_OK)
        return rc;
    glibc_read_last_words(w);
    glibc_take_acts(w);
    w->report->lists_known = w->sink->want_lists || w->sink->want_bins || w->sink->want_check;
    for (unsigned i = 0; i < w->arenas.count && rc == HW_OK; i++)
        if ((rc = glibc_read_fastbins(w, i, err)) == HW_OK && w->report->lists_known)
            rc = glibc_read_bins(w, i, err);
    if (rc != HW_OK)
        return rc;
    if (w->g->tcaches_unknown)
        glibc_forget_tcaches(w->report);
    glibc_sort_cached(w);
    glibc_check_lists(w);
    if ((rc = glibc_find_main_regions(w, err)) != HW_OK)
        return rc;

    for (size_t i = 0; i < w->arenas.count; i++)
        hw_set(w->report->arenas.data[i].figures, HW_M_SYSTEM_BYTES,
               (int64_t)w->arenas.data[i].system_bytes);
    const struct arena *main = &w->arenas.data[0];
    w->report->allocator.unused = w->arenas.count == 1 && main->top == 0 &&
                                  main->system_bytes == 0 && w->report->params.n_mmaps.n == 0;
    if (w->sink->ready)
        w->sink->ready(w->sink->ctx);
    if ((rc = glibc_prepare_motion(w, err)) != HW_OK ||
        (rc = glibc_walk_first_arenas(w, err)) != HW_OK)
        return rc;
    if (!w->stopped)
        rc = glibc_walk_mmapped(w, err);
    if (rc == HW_OK && !w->stopped)
        rc = glibc_walk_other_arenas(w, err);
    if (rc == HW_OK && !w->stopped) {
        rc = glibc_settle_motion(w, err);
        glibc_report_unseen(w);
        glibc_report_absent(w);
        glibc_report_rescued(w);
        glibc_end_check(w);
        glibc_excuse_locked(w->target, w->report);
    }
    return rc;
}

static int walk_glibc(void *state, const struct hw_sink *sink, struct hw_error *err)
{
    struct glibc *g = state;
    struct walk w = {.g = g,
                     .target = g->image.target,
                     .layout = &g->layout,
                     .sink = sink,
                     .report = sink->report};
    int rc = glibc_settle_roots(g, sink->report, err);
    w.rules = g->rules;
    describe(&w);
    if (rc == HW_OK)
        rc = hw_window_init(&w.window, w.target, HW_WINDOW_BYTES, err);
    if (rc == HW_OK)
        rc = hw_seeker_init(&w.seeker, w.target, err);
    if (rc == HW_OK)
        rc = walk_all(&w, err);
    if (w.stopped)
        hw_report_add(sink->report, HW_FINDING_STOPPED_EARLY, -1, (struct hw_maybe){0},
                      (struct hw_maybe){0}, "the walk was ended before its end");

    for (size_t i = 0; i < w.arenas.count; i++) {
        hw_object_deinit(&w.arenas.data[i].state);
        hw_vec_free(&w.arenas.data[i].regions);
        hw_vec_free(&w.arenas.data[i].unsorted);
    }
    glibc_sweep_end(&w);
    hw_vec_free(&w.arenas);
    hw_vec_free(&w.cached);
    hw_vec_free(&w.rows);
    hw_vec_free(&w.lost);
    hw_vec_free(&w.leads);
    hw_vec_free(&w.unseen);
    hw_vec_free(&w.places);
    hw_vec_free(&w.order);
    hw_vec_free(&w.caches);
    hw_vec_free(&w.stretches);
    hw_vec_free(&w.occupied);
    hw_object_deinit(&w.mp);
    hw_seeker_deinit(&w.seeker);
    hw_window_deinit(&w.scan);
    hw_window_deinit(&w.window);
    return rc;
}

/* Arenas to look at: each takes about a microsecond. */
#define BUSY_ARENAS 128

static bool busy(void *state)
{
    struct glibc *g = state;
    hw_addr arena = g->main_arena;
    bool locked = false;
    for (unsigned i = 0; i < BUSY_ARENAS && !locked; i++) {
        struct hw_object o;
        if (hw_object_read(&o, &g->layout, g->image.target, GLIBC_MALLOC_STATE, arena, NULL) !=
            HW_OK)
            return false;
        locked = hw_fetch(&o, GLIBC_F_MUTEX, 0) != 0;
        arena = hw_fetch(&o, GLIBC_F_NEXT, 0);
        hw_object_deinit(&o);
        if (arena == g->main_arena)
            break;
    }
    return locked || glibc_is_acting(g);
}

static void tell(void *state, struct hw_report *report)
{
    glibc_tell_acts(state, report);
}

const struct hw_allocator hw_allocator_glibc = {
    .name = "glibc",
    .detect = detect,
    .open = open_glibc,
    .foresee = glibc_foresee,
    .walk = walk_glibc,
    .busy = busy,
    .tell = tell,
    .close = close_glibc,
};
