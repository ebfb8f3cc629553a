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

static bool is_big_endian(const unsigned char *header)
{
    return header[EI_DATA] == ELFDATA2MSB;
}

static unsigned machine_number(const unsigned char *header)
{
    const unsigned char *m = header + offsetof(Elf64_Ehdr, e_machine); /* in both classes */
    return is_big_endian(header) ? (unsigned)(m[0] << 8 | m[1]) : (unsigned)(m[1] << 8 | m[0]);
}

const struct hw_machine *hw_elf_machine(const unsigned char *header)
{
    if (is_big_endian(header))
        return NULL;
    return hw_machine_of_elf(machine_number(header), header[EI_CLASS]);
}

static const struct {
    unsigned machine;
    const char *name;
} machines[] = {
    {EM_386, "i386"},        {EM_ARM, "arm"},       {EM_AARCH64, "aarch64"},
    {EM_RISCV, "riscv"},     {EM_PPC, "ppc"},       {EM_PPC64, "ppc64"},
    {EM_S390, "s390"},       {EM_MIPS, "mips"},     {EM_LOONGARCH, "loongarch"},
    {EM_SPARCV9, "sparc64"}, {EM_X86_64, "x86_64"},
};

void hw_elf_describe(const unsigned char *header, char *buf, size_t size)
{
    bool wide = header[EI_CLASS] == ELFCLASS64;
    unsigned machine = machine_number(header);
    bool swapped = is_big_endian(header) && hw_machine_of_elf(machine, header[EI_CLASS]);
    char name[32];
    snprintf(name, sizeof name, "ELF machine %u", machine);
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (machines[i].machine == machine)
            snprintf(name, sizeof name, "%s", machines[i].name);
    snprintf(buf, size, "%s process (%s%s)", wide ? "64-bit" : "32-bit",
             machine == EM_X86_64 && !wide ? "x32" : name, swapped ? ", big-endian" : "");
}
