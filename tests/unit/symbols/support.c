#include "support.h"

#include <stdarg.h>

struct telling {
    void (*setup)(void *facts);
    void *facts;
    size_t len;
    int out;
};

static void tell(void *arg)
{
    const struct telling *t = arg;
    t->setup(t->facts);
    if (write(t->out, t->facts, t->len) == (ssize_t)t->len)
        child_sleep(NULL);
}

pid_t child_with_facts(void (*setup)(void *facts), void *facts, size_t len)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = child_start(tell, &(struct telling){setup, facts, len, ends[1]});
    close(ends[1]);
    ssize_t n = read(ends[0], facts, len);
    close(ends[0]);
    cr_assert_eq(n, (ssize_t)len);
    return pid;
}

void scratch_start(struct scratch *s)
{
    strcpy(s->dir, "/tmp/heapwalk-test-XXXXXX");
    cr_assert_not_null(mkdtemp(s->dir));
}

void scratch_end(struct scratch *s)
{
    run("rm -rf %s", s->dir);
}

const char *scratch_path(const struct scratch *s, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", s->dir, name);
    return path;
}

void run(const char *fmt, ...)
{
    char command[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    int status = system(command);
    cr_assert_eq(status, 0, "%s: status %d", command, status);
}

void compile(const char *text, const char *path, const char *flags)
{
    char source[300];
    snprintf(source, sizeof source, "%s.c", path);
    spill(source, text, strlen(text));
    run("cc -g -O1 %s -o %s %s", flags, path, source);
}

void *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*len + 1);
    cr_assert_not_null(bytes);
    cr_assert_eq(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

void spill(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, len, f), len);
    cr_assert_eq(fclose(f), 0);
}

struct hw_module *module_named(struct hw_modules *m, const char *name)
{
    for (size_t i = 0; i < hw_modules_count(m); i++)
        if (strcmp(hw_modules_get(m, i)->name, name) == 0)
            return hw_modules_get(m, i);
    return NULL;
}

struct hw_module *module_exe(struct hw_modules *m)
{
    for (size_t i = 0; i < hw_modules_count(m); i++)
        if (hw_modules_get(m, i)->is_exe)
            return hw_modules_get(m, i);
    return NULL;
}

hw_addr thread_pointer(void)
{
    hw_addr tp;
    __asm__("mov %%fs:0, %0" : "=r"(tp));
    return tp;
}
