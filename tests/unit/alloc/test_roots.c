/*
 * Each finder alone, on a live process with the system's libc: all must say the same as the
 * symbols, where these are installed, and as each other.
 */
#include "alloc/glibc/roots.h"

#include "sanitized.h"
#include "symbols/support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Heap that has something in tcaches and in a bin, and a thread with an arena of its own. */
static void fill_heap(void)
{
    void *volatile p[8];
    for (int i = 0; i < 8; i++)
        p[i] = malloc(i < 4 ? 64 : 3000);
    for (int i = 0; i < 8; i += 2)
        free(p[i]);
}

static void *run_thread(void *arg)
{
    fill_heap();
    pthread_barrier_wait(arg);
    while (pause() != 0)
        continue;
    return NULL;
}

static void use_malloc(void *facts)
{
    static pthread_barrier_t ready;
    pthread_t thread;
    (void)facts;
    pthread_barrier_init(&ready, NULL, 2);
    fill_heap();
    pthread_create(&thread, NULL, run_thread, &ready);
    pthread_barrier_wait(&ready);
}

/* Sanitizers bring their own malloc: then glibc's is there, but not in use. */
#define GLIBC_IS_USED !SANITIZED

static pid_t pid;
static struct hw_target *target;
static struct hw_modules *modules;

static void start(void)
{
    char none;
    pid = child_with_facts(use_malloc, &none, 1);
    cr_assert_eq(hw_target_open_live(pid, &target, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, NULL), HW_OK);
}

static void stop(void)
{
    hw_modules_close(modules);
    hw_target_close(target);
    child_end(pid);
}

/* Find the roots in one way only, to the end. */
static int find(struct glibc *g, const char *roots, struct hw_report *report)
{
    struct hw_error err = {0};
    *g = (struct glibc){.image = {.target = target, .modules = modules, .roots = roots}};
    int rc = glibc_find_roots(g, &err);
    if (rc != HW_OK)
        return rc;
    cr_assert_eq(hw_target_freeze(target, &err), HW_OK, "%s", err.text);
    cr_assert_eq(glibc_settle_roots(g, report, &err), HW_OK, "%s", err.text);
    hw_target_thaw(target);
    return HW_OK;
}

/* Version 2.42 differs from 2.41 in the form of tcaches alone: without any, who can tell? */
static void same_layout(const struct glibc *a, const struct glibc *b)
{
    for (unsigned s = 0; s < (GLIBC_IS_USED ? GLIBC_STRUCTS_ : GLIBC_TCACHE); s++)
        cr_assert_eq(a->layout.struct_size[s], b->layout.struct_size[s]);
    for (unsigned f = 0; f < GLIBC_FIELDS_; f++)
        if (GLIBC_IS_USED || glibc_layout_desc.fields[f].strct != GLIBC_TCACHE)
            cr_assert_eq(a->layout.field[f].offset, b->layout.field[f].offset);
}

static void same_roots(const struct glibc *a, const struct glibc *b)
{
    cr_assert_eq(a->main_arena, b->main_arena);
    cr_assert_eq(a->mp, b->mp);
    same_layout(a, b);
    if (!GLIBC_IS_USED)
        return;
    cr_assert(a->has_tcache && b->has_tcache && a->has_thread_arena && b->has_thread_arena);
    cr_assert_eq(a->tcache_offset, b->tcache_offset);
    cr_assert_eq(a->thread_arena_offset, b->thread_arena_offset);
}

Test(roots, each_finder_alone)
{
    struct glibc first = {0}, g;
    start();
    for (size_t i = 0; glibc_finders[i]; i++) {
        const char *name = glibc_finders[i]->name;
        struct hw_report *report = hw_report_create();
        int rc = find(&g, name, report);
        bool named = glibc_finders[i] == &glibc_finder_symtab;
        cr_assert(rc == HW_OK || (named && rc == HW_ERR_NO_SYMBOLS), "%s: %d", name, rc);
        if (rc == HW_OK) {
            cr_assert_str_eq(g.roots_source, name);
            cr_assert(named || strcmp(g.layout_source, "table") == 0);
            cr_assert_eq(g.doubt[0], 0);
            cr_assert_eq(report->findings.count, 0);
        }
        if (rc == HW_OK && first.main_arena)
            same_roots(&first, &g);
        hw_report_destroy(report);
        if (rc == HW_OK && !first.main_arena)
            first = g;
        else
            glibc_release_roots(&g);
    }
    cr_assert_neq(first.main_arena, 0);
    glibc_release_roots(&first);
    stop();
}

/* With symbols nobody else is asked, and without any way there is a reason. */
Test(roots, no_such_way)
{
    struct glibc g;
    struct hw_error err = {0};
    start();
    g = (struct glibc){.image = {.target = target, .modules = modules, .roots = "nothing"}};
    cr_assert_eq(glibc_find_roots(&g, &err), HW_ERR_NO_SYMBOLS);
    cr_assert(strstr(err.text, "main_arena"), "%s", err.text);
    cr_assert(strstr(err.remedy, "debug symbols"), "%s", err.remedy);
    glibc_release_roots(&g);
    stop();
}

Test(roots, doubt_is_a_finding)
{
    struct glibc g = {.doubt = "main_arena is here, or there"};
    struct hw_report *report = hw_report_create();
    cr_assert_eq(glibc_settle_roots(&g, report, NULL), HW_OK);
    cr_assert_eq(report->finding_counts[HW_FINDING_BAD_ARENA], 1);
    cr_assert_not(hw_report_complete(report));
    hw_report_destroy(report);
}
