/*
 * Holds 3000 blocks, then loads a second libc into a namespace of its own and takes as many blocks
 * of 5000 bytes from that one as its argument says. Says "ready" and waits.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *blocks[3000];

int main(int argc, char **argv)
{
    for (int i = 0; i < 3000; i++) {
        blocks[i] = malloc(1000);
        if (!blocks[i])
            return 1;
        memset(blocks[i], 1, 1000);
    }
    void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    void *(*second_malloc)(size_t) = libc ? (void *(*)(size_t))dlsym(libc, "malloc") : NULL;
    if (!second_malloc)
        return 1;
    for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--) {
        void *p = second_malloc(5000);
        if (!p)
            return 1;
        memset(p, 2, 5000);
    }
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (;;)
        pause();
}
