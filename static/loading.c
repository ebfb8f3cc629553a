/*
 * Nothing is loaded by a static program: what would ask for libraries (libdw for libdebuginfod, we
 * for a demangler) is told that there are none. The linker leads their calls here (--wrap).
 */
#include <stddef.h>

void *__wrap_dlopen(const char *file, int mode);
void *__wrap_dlsym(void *library, const char *name);
int __wrap_dlclose(void *library);
char *__wrap_dlerror(void);

void *__wrap_dlopen(const char *file, int mode)
{
    (void)file;
    (void)mode;
    return NULL;
}

void *__wrap_dlsym(void *library, const char *name)
{
    (void)library;
    (void)name;
    return NULL;
}

int __wrap_dlclose(void *library)
{
    (void)library;
    return 0;
}

char *__wrap_dlerror(void)
{
    static char text[] = "a static program loads no libraries";
    return text;
}
