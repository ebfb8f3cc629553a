/*
 * A heap to measure on: COUNT chunks of SIZE bytes (gross, as heapwalk counts), of which a pattern
 * is then freed. Prints "ready" and waits to be killed; whatever happens, it is gone after ten
 * minutes.
 *
 * usage: victim [COUNT [SIZE [every-other|all-used|all-but-last]]]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum pattern { EVERY_OTHER, ALL_USED, ALL_BUT_LAST, PATTERNS };

static const char *const names[PATTERNS] = {"every-other", "all-used", "all-but-last"};

static bool keeps(enum pattern pattern, size_t i, size_t count)
{
    return pattern == ALL_USED || (pattern == EVERY_OTHER && i % 2 == 1) || i == count - 1;
}

/* The list of the chunks has a mapping of its own and is gone before anybody looks. */
static bool fill(size_t count, size_t size, enum pattern pattern)
{
    char **chunks = calloc(count, sizeof *chunks);
    bool ok = chunks != NULL;

    for (size_t i = 0; ok && i < count; i++) {
        chunks[i] = malloc(size - sizeof(size_t));
        ok = chunks[i] != NULL;
        if (ok)
            memset(chunks[i], 0x5a, size - sizeof(size_t));
    }
    for (size_t i = 0; ok && i < count; i++)
        if (!keeps(pattern, i, count))
            free(chunks[i]);
    free(chunks);
    return ok;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
    int pattern = EVERY_OTHER;
    while (argc > 3 && pattern < PATTERNS && strcmp(argv[3], names[pattern]) != 0)
        pattern++;
    if (count < 1 || size < 32 || size > 100000 || pattern == PATTERNS) {
        fprintf(stderr, "usage: victim [COUNT [SIZE [every-other|all-used|all-but-last]]]\n");
        return 64;
    }
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    alarm(600);

    if (!fill(count, size, (enum pattern)pattern)) {
        fprintf(stderr, "victim: out of memory\n");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
