/*
 * The yardstick: what it costs just to read the same bytes, in blocks of 1 MiB, and do nothing.
 *
 * usage: plainread file PATH      read a file from its beginning to its end
 *        plainread process PID    read all resident anonymous memory of a process, as a heap is
 * Prints one line: the bytes read, the nanoseconds it took and those of CPU time among them.
 * Finding out what is resident is not timed.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BLOCK        ((size_t)1 << 20)
#define PAGE_PRESENT ((uint64_t)1 << 63)

static char block[BLOCK];

struct range {
    uintptr_t begin, end;
};

struct ranges {
    struct range *data;
    size_t count, capacity;
};

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct times {
    int64_t real, cpu;
};

static struct times now(void)
{
    return (struct times){read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

static int report(uint64_t bytes, struct times began)
{
    struct times ended = now();
    printf("%" PRIu64 " %" PRId64 " %" PRId64 "\n", bytes, ended.real - began.real,
           ended.cpu - began.cpu);
    return 0;
}

static int read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    memset(block, 1, sizeof block); /* our own page faults are not what is measured */
    uint64_t bytes = 0;
    struct times began = now();
    for (ssize_t n; (n = read(fd, block, BLOCK)) > 0;)
        bytes += (uint64_t)n;
    return report(bytes, began);
}

static void add(struct ranges *r, uintptr_t begin, uintptr_t end)
{
    if (r->count && r->data[r->count - 1].end == begin) {
        r->data[r->count - 1].end = end;
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity * 2 + 64;
        r->data = realloc(r->data, r->capacity * sizeof *r->data);
        if (!r->data)
            abort();
    }
    r->data[r->count++] = (struct range){begin, end};
}

/* The runs of present pages of one mapping. */
static void add_present(struct ranges *r, int pagemap, uintptr_t begin, uintptr_t end)
{
    static uint64_t entries[4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    while (begin < end) {
        size_t pages = (end - begin) / page;
        if (pages > sizeof entries / sizeof *entries)
            pages = sizeof entries / sizeof *entries;
        ssize_t n = pread(pagemap, entries, pages * sizeof *entries,
                          (off_t)(begin / page * sizeof *entries));
        if (n <= 0)
            return;
        for (size_t i = 0; i < (size_t)n / sizeof *entries; i++, begin += page)
            if (entries[i] & PAGE_PRESENT)
                add(r, begin, begin + page);
    }
}

static int find_resident(const char *pid, struct ranges *r)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%s/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    FILE *maps = fopen(path, "re");
    if (pagemap < 0 || !maps) {
        perror(path);
        return 1;
    }
    while (fgets(line, sizeof line, maps)) {
        uintptr_t begin, end;
        char perms[8], name[256] = "";
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %*s %*s %*s %255s", &begin, &end, perms,
                   name) < 3)
            continue;
        if (perms[0] == 'r' && perms[1] == 'w' && (!*name || strcmp(name, "[heap]") == 0))
            add_present(r, pagemap, begin, end);
    }
    fclose(maps);
    close(pagemap);
    return 0;
}

static int read_process(const char *pid)
{
    struct ranges r = {0};
    if (find_resident(pid, &r) != 0)
        return 1;
    memset(block, 1, sizeof block);

    uint64_t bytes = 0;
    struct times began = now();
    for (size_t i = 0; i < r.count; i++) {
        for (uintptr_t at = r.data[i].begin; at < r.data[i].end;) {
            size_t wanted = r.data[i].end - at < BLOCK ? r.data[i].end - at : BLOCK;
            struct iovec here = {block, wanted}, there = {(void *)at, wanted};
            ssize_t n = process_vm_readv(atoi(pid), &here, 1, &there, 1, 0);
            if (n <= 0)
                break;
            at += (size_t)n;
            bytes += (uint64_t)n;
        }
    }
    free(r.data);
    return report(bytes, began);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "file") == 0)
        return read_file(argv[2]);
    if (argc == 3 && strcmp(argv[1], "process") == 0)
        return read_process(argv[2]);
    fprintf(stderr, "usage: plainread file PATH | plainread process PID\n");
    return 64;
}
