#include "target/image.h"

#include "base/cleanup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

void hw_map_vec_free(hw_map_vec *maps)
{
    for (size_t i = 0; i < maps->count; i++)
        free(maps->data[i].path);
    hw_vec_free(maps);
}

void hw_target_drop_maps(struct hw_target *t)
{
    hw_map_vec old = {.data = t->maps, .count = t->map_count};
    hw_map_vec_free(&old);
    t->maps = NULL;
    t->map_count = 0;
}

void hw_target_drop_threads(struct hw_target *t)
{
    free(t->threads);
    t->threads = NULL;
    t->thread_count = 0;
}

void hw_target_take_maps(struct hw_target *t, hw_map_vec *maps)
{
    hw_target_drop_maps(t);
    t->map_count = maps->count;
    t->maps = hw_take(maps->data);
    maps->count = maps->capacity = 0;
}

static int by_tid(const void *a, const void *b)
{
    const struct hw_thread *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

void hw_target_take_threads(struct hw_target *t, hw_thread_vec *threads)
{
    hw_target_drop_threads(t);
    if (threads->count)
        qsort(threads->data, threads->count, sizeof *threads->data, by_tid);
    t->thread_count = threads->count;
    t->threads = hw_take(threads->data);
    threads->count = threads->capacity = 0;
}

static int open_path(int dir, const char *path, bool in_root)
{
    if (!in_root)
        return openat(dir, path, O_PATH | O_CLOEXEC);
    while (*path == '/')
        path++;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    /* Before Linux 5.6, or behind a filter that does not know the call. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return openat(dir, path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    return (int)fd;
}

int hw_open_regular(int dir, const char *path, bool in_root, struct hw_error *err)
{
    hw_autoclose int place = open_path(dir, path, in_root);
    struct stat st;
    if (place < 0 || fstat(place, &st) != 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return hw_fail(err, HW_ERR_SYSTEM, "cannot open %s: not a regular file", path);

    char again[64]; /* the file just looked at, whatever its name leads to by now */
    snprintf(again, sizeof again, "/proc/self/fd/%d", place);
    int fd = open(again, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", path);
    return fd;
}

void hw_clean_name(char *name)
{
    for (unsigned char *p = (unsigned char *)name; *p; p++)
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
}

static const struct {
    unsigned machine;
    const char *name;
} machines[] = {
    {EM_386, "i386"},        {EM_ARM, "arm"},   {EM_AARCH64, "aarch64"},
    {EM_RISCV, "riscv"},     {EM_PPC, "ppc"},   {EM_PPC64, "ppc64"},
    {EM_S390, "s390"},       {EM_MIPS, "mips"}, {EM_LOONGARCH, "loongarch"},
    {EM_SPARCV9, "sparc64"},
};

const char *hw_elf_foreign_arch(const unsigned char *header, bool *is_32bit, char *buf, size_t size)
{
    bool big = header[EI_DATA] == ELFDATA2MSB;
    const unsigned char *m = header + offsetof(Elf64_Ehdr, e_machine);
    unsigned machine = big ? (unsigned)(m[0] << 8 | m[1]) : (unsigned)(m[1] << 8 | m[0]);
    *is_32bit = header[EI_CLASS] != ELFCLASS64;
    if (machine == EM_X86_64)
        return *is_32bit ? "x32" : big ? "x86_64, big-endian" : NULL;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (machines[i].machine == machine)
            return machines[i].name;
    snprintf(buf, size, "ELF machine %u", machine);
    return buf;
}
