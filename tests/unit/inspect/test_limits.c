#include "inspect/limits.h"

#include "model/sample.h"

#include <stdio.h>
#include <unistd.h>

/* "name=value name=value" */
static const char *settings(const struct hw_limits *l)
{
    static char text[8192];
    text[0] = '\0';
    for (size_t i = 0; i < l->settings.count; i++)
        sprintf(text + strlen(text), "%s%s=%s", i ? " " : "", l->settings.data[i].name,
                l->settings.data[i].value);
    return text;
}

Test(limits_of_environment, only_mallocs_settings)
{
    struct hw_limits l = {0};
    hw_limits_add(&l, "MALLOC_ARENA_MAX=4");
    hw_limits_add(&l, "MALLOC_ARENA_MAX"); /* no variable at all */
    hw_limits_add(&l, "PASSWORD=secret");
    hw_limits_add(&l, "MY_MALLOC_ARENA_MAX=5");
    hw_limits_add(&l, "GLIBC_TUNABLES=glibc.rtld.nns=2:glibc.malloc.tcache_count=0:::"
                      "glibc.malloc.check:xglibc.malloc.a=1:glibc.malloc.top_pad=");
    hw_limits_add(&l, "MALLOC_TOP_PAD_=\033[2J\xff");
    cr_expect_str_eq(settings(&l), "MALLOC_ARENA_MAX=4 glibc.malloc.tcache_count=0 "
                                   "glibc.malloc.top_pad= MALLOC_TOP_PAD_=?[2J?");
    hw_vec_free(&l.settings);
}

Test(limits_of_environment, is_cut_to_fit)
{
    struct hw_limits l = {0};
    char variable[4096] = "MALLOC_";
    memset(variable + 7, 'x', 2000);
    variable[2000] = '=';
    memset(variable + 2001, 'y', 2000);
    for (int i = 0; i < 100; i++)
        hw_limits_add(&l, variable);
    cr_expect(l.settings.count > 10 && l.settings.count < 100);
    cr_expect_eq(strlen(l.settings.data[0].name), sizeof l.settings.data[0].name - 1);
    cr_expect_eq(strlen(l.settings.data[0].value), sizeof l.settings.data[0].value - 1);
    hw_vec_free(&l.settings);
}

Test(limits_of_process, our_own)
{
    struct hw_report *r = sample_report();
    hw_limits_ask(getpid(), r);
    cr_expect(r->limits.cores.known && r->limits.cores.n > 0);
    hw_report_destroy(r);
}

Test(limits_of_process, that_is_not_there)
{
    struct hw_report *r = sample_report();
    hw_limits_ask(0, r);
    cr_expect(!r->limits.cgroup_cpus.known);
    cr_expect_eq(r->limits.settings.count, 0);
    hw_report_destroy(r);
}
