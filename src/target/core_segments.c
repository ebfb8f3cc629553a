/*
 * The segments of a core: which bytes of which memory are where in the file.
 *
 *     PT_LOAD   start             start + saved      start + claimed     end = start + p_memsz
 *               |  in the file    |  cut off         |  not saved        |
 *
 * `claimed` is p_filesz; of that the file may lack the rest. What lies between two segments was not
 * mapped if a kernel wrote the core; gdb's gcore leaves out mappings that it does not save.
 */
#include "target/core_image.h"

/* User addresses have at most 56 bits on all machines. Whatever sums up memory stays far from an
 * overflow. */
#define MEMORY_MAX (UINT64_C(1) << 56)

/* What the segments of a core by a kernel, or by qemu-user, are aligned to at least: pages. Those
 * of gdb are not aligned at all. */
#define KERNEL_ALIGN 4096

uint64_t core_in_file(const struct core_segments *c, uint64_t offset, uint64_t len)
{
    uint64_t left = offset < c->file_size ? c->file_size - offset : 0;
    return len < left ? len : left;
}

int core_segments_add(struct core_segments *c, const struct hw_machine *m, const Elf64_Phdr *p,
                      struct hw_error *err)
{
    uint64_t bytes = p->p_memsz, claimed = p->p_filesz < bytes ? p->p_filesz : bytes;
    uint64_t space = m->word == 4 ? UINT64_C(1) << 32 : UINT64_MAX, file_end;
    if (bytes > space - p->p_vaddr)
        bytes = space - p->p_vaddr;
    if (bytes > MEMORY_MAX - c->memory) {
        bytes = MEMORY_MAX - c->memory;
        c->truncated = true;
    }
    if (bytes == 0)
        return HW_OK;
    if (claimed > bytes)
        claimed = bytes;
    c->memory += bytes;
    c->unaligned |= p->p_align < KERNEL_ALIGN;
    struct core_segment s = {
        .start = p->p_vaddr,
        .end = p->p_vaddr + bytes,
        .saved = core_in_file(c, p->p_offset, claimed),
        .claimed = claimed,
        .offset = p->p_offset,
        .flags = p->p_flags & (HW_MAP_READ | HW_MAP_WRITE | HW_MAP_EXEC),
    };
    if (s.saved < claimed)
        c->truncated = true;
    if (!__builtin_add_overflow(s.offset, claimed, &file_end) && file_end > c->wanted)
        c->wanted = file_end;
    return hw_vec_push(&c->list, s) ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

static int by_start(const void *a, const void *b)
{
    const struct core_segment *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static uint64_t less(uint64_t n, uint64_t cut)
{
    return n > cut ? n - cut : 0;
}

void core_segments_finish(struct core_segments *c)
{
    if (c->list.count)
        qsort(c->list.data, c->list.count, sizeof *c->list.data, by_start);
    size_t kept = 0;
    hw_addr told = 0;
    uint64_t saved = 0, claimed = 0;
    for (size_t i = 0; i < c->list.count; i++) {
        struct core_segment s = c->list.data[i];
        if (s.end <= told)
            continue;
        uint64_t cut = less(told, s.start);
        s.start += cut;
        s.saved = less(s.saved, cut);
        s.claimed = less(s.claimed, cut);
        s.offset = s.saved ? s.offset + cut : 0;
        s.saved_below = saved;
        s.claimed_below = claimed;
        saved += s.saved;
        claimed += s.claimed;
        told = s.end;
        c->list.data[kept++] = s;
    }
    c->list.count = kept;
}

size_t core_segments_find(const struct core_segments *c, hw_addr addr)
{
    size_t low = 0, high = c->list.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->list.data[mid].end <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- what is there -------------------------------------------------------------------------- */

static hw_addr lower(hw_addr a, hw_addr b)
{
    return a < b ? a : b;
}

/* Of saved bytes, which begin at `addr` in the file and end at `saved_end`: zeros or data. Pages
 * that are zeros in part are data: a file's blocks need not be where pages are. */
static enum hw_extent zeros_or_data(const struct core_segment *s, struct core_holes *holes,
                                    uint64_t page, hw_addr addr, hw_addr *until)
{
    uint64_t offset = s->offset + (addr - s->start), file_end;
    hw_addr saved_end = s->start + s->saved;
    bool hole = core_holes_at(holes, offset, &file_end);
    hw_addr end = file_end - offset < saved_end - addr ? addr + (file_end - offset) : saved_end;
    if (end < saved_end)
        end = hole ? end / page * page : lower(end + (page - end % page) % page, saved_end);
    *until = end > addr ? end : lower((addr / page + 1) * page, saved_end);
    return hole && end > addr ? HW_EXTENT_ZEROS : HW_EXTENT_DATA;
}

enum hw_extent core_segments_extent(const struct core_segments *c, struct core_holes *holes,
                                    uint64_t page, hw_addr addr, hw_addr end, hw_addr *until)
{
    size_t i = core_segments_find(c, addr);
    const struct core_segment *s = i < c->list.count ? &c->list.data[i] : NULL;
    enum hw_extent what = HW_EXTENT_MISSING;
    if (!s)
        *until = end;
    else if (addr < s->start)
        *until = s->start;
    else if (addr - s->start >= s->saved)
        *until = s->end;
    else
        what = zeros_or_data(s, holes, page, addr, until);
    *until = lower(*until, end);
    return what;
}

/* Bytes below `addr` that were saved; that the headers say were saved. */
static uint64_t saved_below(const struct core_segments *c, hw_addr addr, bool claimed)
{
    size_t i = core_segments_find(c, addr);
    if (i == c->list.count && i == 0)
        return 0;
    const struct core_segment *s = &c->list.data[i < c->list.count ? i : i - 1];
    uint64_t here = claimed ? s->claimed : s->saved, into = less(addr, s->start);
    return (claimed ? s->claimed_below : s->saved_below) + (into < here ? into : here);
}

/* The first byte of [start, end) that was not saved; `end` if all were. */
static hw_addr first_missing(const struct core_segments *c, hw_addr start, hw_addr end)
{
    hw_addr at = start;
    for (size_t i = core_segments_find(c, start); i < c->list.count && at < end; i++) {
        const struct core_segment *s = &c->list.data[i];
        if (at < s->start || at - s->start >= s->saved)
            break;
        at = s->start + s->saved;
    }
    return lower(at, end);
}

void core_segments_missing(const struct core_segments *c, hw_addr start, hw_addr end,
                           struct hw_missing *sum)
{
    if (start >= end)
        return;
    uint64_t saved = saved_below(c, end, false) - saved_below(c, start, false);
    uint64_t claimed = saved_below(c, end, true) - saved_below(c, start, true);
    if (saved == end - start)
        return;
    if (sum->bytes == 0)
        sum->first = first_missing(c, start, end);
    sum->bytes += end - start - saved;
    sum->cut_off += claimed - saved;
}

/* ---- maps ----------------------------------------------------------------------------------- */

/*
 * The union of segments and mapped files, cut wherever one of either begins or ends:
 *
 *     segments   |-- r-x --|-- rw- --|          |-- rw- --|
 *     files      |-- libc.so.6 -------------|
 *     maps       |---------|---------|------|   |---------|
 */
int core_segments_maps(const struct core_segments *c, const struct core_notes *n, hw_map_vec *maps,
                       struct hw_error *err)
{
    size_t i = 0, k = 0;
    hw_addr at = 0;
    while (i < c->list.count || k < n->files.count) {
        const struct core_segment *s = i < c->list.count ? &c->list.data[i] : NULL;
        const struct core_file *f = k < n->files.count ? &n->files.data[k] : NULL;
        hw_addr s_start = s ? s->start : UINT64_MAX, f_start = f ? f->start : UINT64_MAX;
        hw_addr first = s_start < f_start ? s_start : f_start;
        at = at > first ? at : first;
        bool in_s = s && s_start <= at, in_f = f && f_start <= at;
        hw_addr s_next = in_s ? s->end : s_start, f_next = in_f ? f->end : f_start;
        struct hw_map map = {
            .start = at,
            .end = s_next < f_next ? s_next : f_next,
            .offset = in_f ? f->offset + (at - f_start) : 0,
            .flags = in_s ? s->flags : HW_MAP_READ,
            .path = in_f ? f->path : NULL,
        };
        if (!hw_vec_push(maps, map))
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
        at = map.end;
        i += in_s && s->end == at;
        k += in_f && f->end == at;
    }
    return HW_OK;
}
