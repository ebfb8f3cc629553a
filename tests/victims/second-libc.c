/*
 * second-libc loaded|data|namesake: below the libc in use lies another one: a copy with a heap of
 * its own in another namespace; its file, mapped as data; or another file of that name.
 */
#include "victim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fill(void)
{
    void *p[500];
    for (size_t i = 0; i < 500; i++)
        p[i] = victim_malloc(1000 + i);
    for (size_t i = 0; i < 500; i += 2)
        victim_free(p[i]);
}

/* So that there are two heaps to choose from. */
static void load(void)
{
    void *(*other_malloc)(size_t);
    void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    if (!libc)
        victim_die(dlerror());
    *(void **)&other_malloc = dlsym(libc, "malloc");
    if ((void *)other_malloc == (void *)malloc)
        victim_die("it is the same libc");
    for (size_t i = 0; i < 10; i++)
        if (!other_malloc(100))
            victim_die("out of memory");
}

static void map(const char *path, int prot)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        victim_die(path);
    char *p = mmap(NULL, (size_t)st.st_size, prot, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        victim_die("mmap");
    if (p > (char *)malloc)
        victim_die("it was not mapped below libc");
    close(fd);
}

/* In our own directory, which is where we were started; too large for a hole above libc. */
static const char *namesake(void)
{
    const char *path = "libc.so.6";
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, 8 << 20) != 0)
        victim_die(path);
    close(fd);
    return path;
}

int main(int argc, char **argv)
{
    Dl_info libc;

    victim_start(argc, argv);
    fill();
    if (victim_is(0, "loaded"))
        load();
    else if (victim_is(0, "data") && dladdr((void *)malloc, &libc) != 0)
        map(libc.dli_fname, PROT_READ);
    else if (victim_is(0, "namesake")) /* it could even have variables */
        map(namesake(), PROT_READ | PROT_WRITE);
    else
        victim_die("which libc?");
    victim_ready();
}
