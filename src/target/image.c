#include "target/image.h"

#include "base/cleanup.h"

#include <elf.h>
#include <string.h>

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
