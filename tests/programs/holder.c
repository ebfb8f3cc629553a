/*
 * Holds 3000 blocks of 1000 bytes, whoever's malloc it is, says "ready" and waits.
 *
 * With -DPRIVATE it has names and texts of jemalloc in it, as a program does that was linked with
 * it statically and uses it beside malloc. With -DMAPPED=BYTES it has so much memory from mmap().
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef PRIVATE
void *je_malloc(size_t size);
void *je_malloc(size_t size)
{
    static char pool[1000];
    return size <= sizeof pool ? pool : NULL;
}
const char *je_texts[] = {"<jemalloc>: Error in mmap(): ",
                          "5.2.1-0-gea6b3e973b477b8061e0076bb257dbd7f3faa756"};
#endif

static void *blocks[3000];

int main(void)
{
    for (int i = 0; i < 3000; i++) {
        blocks[i] = malloc(1000);
        if (!blocks[i])
            return 1;
        memset(blocks[i], 1, 1000);
    }
#ifdef MAPPED
    void *mapped = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return 1;
    memset(mapped, 1, MAPPED);
#endif
#ifdef PRIVATE
    memset(je_malloc(1000), je_texts[0][0], 1000);
#endif
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (;;)
        pause();
}
