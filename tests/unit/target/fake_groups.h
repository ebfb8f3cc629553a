/*
 * A tree of control groups below a directory of one's own, as they are below /sys/fs/cgroup.
 * Make it as the .init of a test and remove it as its .fini.
 */
#ifndef TESTS_UNIT_TARGET_FAKE_GROUPS_H
#define TESTS_UNIT_TARGET_FAKE_GROUPS_H

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char groups[] = "/tmp/heapwalk-groups-XXXXXX";

static inline void make_groups(void)
{
    cr_assert_not_null(mkdtemp(groups));
}

static inline void remove_groups(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", groups);
    cr_assert_eq(system(command), 0);
}

/* Have a group, with all above it, and one of its files. "" is the root. */
static inline void put(const char *group, const char *file, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s/", groups, group);
    for (char *slash = path + strlen(groups); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    strcat(path, file);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f, "%s", path);
    fputs(text, f);
    fclose(f);
}

#endif
