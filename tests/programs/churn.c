/* One thread, which takes no lock for malloc (glibc 2.27 and newer), and is nearly always in it. */
#include <stdio.h>
#include <stdlib.h>

#define COUNT 3000

int main(void)
{
    static void *p[COUNT];
    unsigned seed = 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        seed = seed * 1103515245 + 12345;
        unsigned i = (seed >> 8) % COUNT;
        free(p[i]);
        p[i] = malloc(1100 + (seed >> 16) % 9000);
    }
}
