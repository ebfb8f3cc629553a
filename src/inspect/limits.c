#include "inspect/limits.h"

#include "base/cleanup.h"
#include "target/cpus.h"
#include "target/proc.h"

#include <string.h>

/* More than these in one environment are somebody's joke. */
#define SETTINGS_MAX  32
#define VARIABLES_MAX 4096

/* Anything may be in there. */
static void copy_printable(char *to, size_t size, const char *from, size_t length)
{
    size_t n = length < size - 1 ? length : size - 1;
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
    to[n] = '\0';
}

/* "NAME=value" of `length` bytes. */
static void add(struct hw_limits *l, const char *text, size_t length)
{
    const char *equals = memchr(text, '=', length);
    if (!equals || l->settings.count >= SETTINGS_MAX)
        return;
    struct hw_setting s = {0};
    copy_printable(s.name, sizeof s.name, text, (size_t)(equals - text));
    copy_printable(s.value, sizeof s.value, equals + 1, length - (size_t)(equals + 1 - text));
    (void)!hw_vec_push(&l->settings, s); /* worth knowing, no more */
}

void hw_limits_add(struct hw_limits *l, const char *variable)
{
    static const char tunables[] = "GLIBC_TUNABLES=", ours[] = "glibc.malloc.";
    if (strncmp(variable, "MALLOC_", strlen("MALLOC_")) == 0)
        add(l, variable, strlen(variable));
    if (strncmp(variable, tunables, strlen(tunables)) != 0)
        return;
    for (const char *p = variable + strlen(tunables); *p;) {
        size_t n = strcspn(p, ":");
        if (strncmp(p, ours, strlen(ours)) == 0)
            add(l, p, n);
        p += n + (p[n] == ':');
    }
}

static void read_environment(int pid, struct hw_limits *l)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    hw_autofile FILE *f = fopen(path, "re");
    hw_autofree char *variable = NULL;
    size_t size = 0;
    for (int i = 0; f && i < VARIABLES_MAX && getdelim(&variable, &size, '\0', f) > 0; i++)
        hw_limits_add(l, variable);
}

void hw_limits_ask(int pid, struct hw_report *r)
{
    unsigned cpus;
    if (hw_cpus_online(pid, &cpus))
        r->limits.cores = hw_known(cpus);
    if (hw_cpus_quota(pid, &cpus))
        r->limits.cgroup_cpus = hw_known(cpus);
    read_environment(pid, &r->limits);
}
