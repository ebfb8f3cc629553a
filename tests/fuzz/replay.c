/*
 * Run inputs once more: those that were found, and the corpus. Needs no fuzzer, so `make check`
 * does it with any compiler.
 *
 *     replay NAME FILE...       these, in this process: for a debugger, and for AFL++ (FILE is @@)
 *     replay DIRECTORY...       all of DIRECTORY/NAME/, each in a process of its own
 *     replay --core FILE CORE   the image that an input of `walk` makes, a core: a seed for `core`
 */
#include "heap.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS     20 /* for one input, sanitized or under an emulator; it takes milliseconds */
#define INPUT_BYTES ((size_t)1 << 20)

static const struct fuzzer *const fuzzers[] = {
#define ROW(name) &fuzz_##name,
    FUZZERS(ROW)
#undef ROW
};
#define COUNT (sizeof fuzzers / sizeof *fuzzers)

static const struct fuzzer *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(fuzzers[i]->name, name) == 0)
            return fuzzers[i];
    return NULL;
}

/* The bytes of a file, to be freed. */
static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *in = fopen(path, "rbe");
    uint8_t *room = malloc(INPUT_BYTES);
    fuzz_require(in && room, "%s: %s", path, strerror(errno));
    *len = fread(room, 1, INPUT_BYTES, in);
    fclose(in);
    /* Exactly as many bytes as there are, so that sanitizers see who reads more. */
    uint8_t *bytes = malloc(*len ? *len : 1);
    fuzz_require(bytes != NULL, "no memory");
    memcpy(bytes, room, *len);
    free(room);
    return bytes;
}

static void run_file(const struct fuzzer *f, const char *path)
{
    size_t len;
    uint8_t *bytes = read_file(path, &len);
    f->run(bytes, len);
    free(bytes);
}

/* In a child: a crash, a leak or a hang is that input's alone. */
static bool survives(const struct fuzzer *f, const char *path)
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS);
        run_file(f, path);
        exit(0);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status == 0)
        return true;
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("FAIL %s: no end within %d s\n", path, SECONDS);
    else
        printf("FAIL %s: wait status %#x\n", path, (unsigned)status);
    return false;
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* All inputs of a fuzzer in a directory, in the order of their names. */
static void run_all(const struct fuzzer *f, const char *dir, unsigned *passed, unsigned *failed)
{
    char path[PATH_MAX];
    struct dirent **found;
    if (snprintf(path, sizeof path, "%s/%s", dir, f->name) >= (int)sizeof path)
        return;
    int count = scandir(path, &found, not_hidden, alphasort);
    for (int i = 0; i < count; i++) {
        if (snprintf(path, sizeof path, "%s/%s/%s", dir, f->name, found[i]->d_name) <
            (int)sizeof path)
            ++*(survives(f, path) ? passed : failed);
        free(found[i]);
    }
    if (count >= 0)
        free(found);
}

static int write_core(const char *from, const char *to)
{
    size_t len;
    uint8_t *bytes = read_file(from, &len);
    struct heap h;
    heap_make(&h, bytes, len);
    FILE *out = fopen(to, "wbe");
    fuzz_require(out != NULL, "%s: %s", to, strerror(errno));
    heap_dump(&h, out);
    heap_free(&h);
    free(bytes);
    return fclose(out) != 0;
}

int main(int argc, char **argv)
{
    const struct fuzzer *f = argc > 2 ? find(argv[1]) : NULL;
    if (argc == 4 && strcmp(argv[1], "--core") == 0)
        return write_core(argv[2], argv[3]);
    if (f) {
        for (int i = 2; i < argc; i++)
            run_file(f, argv[i]);
        return 0;
    }
    unsigned passed = 0, failed = 0;
    fuzz_file(NULL, 0); /* before the children do: one file for all of them */
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < COUNT; k++)
            run_all(fuzzers[k], argv[i], &passed, &failed);
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}
