#include "target/cgroup.h"

#include "base/cleanup.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

struct visit {
    const char *mount, *controller;
    hw_cgroup_fn fn;
    void *ctx;
};

static void visit_up(const struct visit *v, const char *hierarchy, const char *group, int version)
{
    char path[PATH_MAX];
    int root = snprintf(path, sizeof path, "%s%s", v->mount, hierarchy);
    int length = snprintf(path, sizeof path, "%s%s%s", v->mount, hierarchy, group);
    if (root <= 0 || length < root || (size_t)length >= sizeof path)
        return;
    for (char *end = path + length; end; end = strrchr(path, '/')) { /* ever shorter */
        *end = '\0';
        v->fn(v->ctx, path, version);
        if (end <= path + root)
            break;
    }
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        if (n == length && strncmp(p, word, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

/* One line: "ID:CONTROLLERS:PATH", without controllers in version 2. */
static void visit_line(const struct visit *v, char *line)
{
    char *controllers = strchr(line, ':'), hierarchy[128];
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group || strstr(group, "..")) /* outside of what we can see */
        return;
    *controllers++ = *group++ = '\0';
    if (*controllers == '\0') {
        visit_up(v, "", group, 2);
        visit_up(v, "/unified", group, 2);
    } else if (has_word(controllers, v->controller)) {
        snprintf(hierarchy, sizeof hierarchy, "/%s", controllers);
        visit_up(v, hierarchy, group, 1);
        if (strcmp(controllers, v->controller) != 0) {
            snprintf(hierarchy, sizeof hierarchy, "/%s", v->controller);
            visit_up(v, hierarchy, group, 1);
        }
    }
}

void hw_cgroup_visit(const char *mount, const char *cgroups, const char *controller,
                     hw_cgroup_fn visit, void *ctx)
{
    struct visit v = {.mount = mount, .controller = controller, .fn = visit, .ctx = ctx};
    hw_autofree char *text = strdup(cgroups);
    char *save = NULL;
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        visit_line(&v, line);
}
