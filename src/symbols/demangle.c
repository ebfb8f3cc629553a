#include "symbols/demangle.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Each reference to an earlier part of a name ("S_", "S1_", "T_") can at most double its length in
 * words, so a name of these limits has 4 MiB at worst. */
#define LENGTH_MAX     1024
#define REFERENCES_MAX 12

struct hw_demangler hw_demangler_open(void)
{
    struct hw_demangler d = {.library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL)};
    if (!d.library)
        d.library = dlopen("libc++abi.so.1", RTLD_LAZY | RTLD_LOCAL);
    void *symbol = d.library ? dlsym(d.library, "__cxa_demangle") : NULL;
    memcpy(&d.demangle, &symbol, sizeof d.demangle); /* ISO C has no cast from data to code */
    return d;
}

void hw_demangler_close(struct hw_demangler *d)
{
    if (d->library)
        dlclose(d->library);
    *d = (struct hw_demangler){0};
}

static bool is_harmless(const char *name)
{
    unsigned references = 0;
    if (strnlen(name, LENGTH_MAX + 1) > LENGTH_MAX)
        return false;
    for (const char *p = name; *p; p++) {
        if (*p != 'S' && *p != 'T')
            continue;
        const char *q = p + 1;
        while (isdigit((unsigned char)*q) || isupper((unsigned char)*q))
            q++;
        references += *q == '_';
    }
    return references <= REFERENCES_MAX;
}

bool hw_demangle(const struct hw_demangler *d, const char *name, char *buf, size_t size)
{
    hw_autofree char *words = NULL;
    int status = 0;
    if (d->demangle && strncmp(name, "_Z", 2) == 0 && is_harmless(name))
        words = d->demangle(name, NULL, NULL, &status);
    snprintf(buf, size, "%s", words ? words : name);
    return words != NULL;
}
