/*
 * Which pages of a live process are in RAM, which are swapped out: asked of the kernel, without
 * touching one of them. (Reading a page that was never touched would map the kernel's page of zeros
 * there, and from then on it would look present.)
 *
 * Two sources, both through the file /proc/PID/pagemap:
 *
 *   PAGEMAP_SCAN   an ioctl (Linux 6.7): ranges of pages that are there, with what they are. Costs
 *                  what is resident.
 *   pread          8 bytes for each page of the address space, there or not. Cannot tell the page
 *                  of zeros from others unless page frame numbers may be seen (CAP_SYS_ADMIN).
 *
 * smaps would be a third, and alone tells what is locked, but it holds the target's mmap lock for
 * tens of milliseconds per GiB.
 */
#ifndef HW_TARGET_RESIDENCY_H
#define HW_TARGET_RESIDENCY_H

#include "target/image.h"

enum hw_residency_way { HW_RESIDENCY_BEST, HW_RESIDENCY_SCAN, HW_RESIDENCY_PREAD };

struct hw_residency_source {
    int pagemap; /* /proc/PID/pagemap */
    /* False if the process has nothing swapped out (VmSwap is 0): then entries that look swapped
     * are markers that the kernel keeps in page tables, guard pages of stacks for example. */
    bool swap_used;
    enum hw_residency_way way;
    /*
     * Where the process has a copy (snapshot.h): what hw_residency_probe() found when the copy was
     * made, and /proc/COPY/pagemap. Private maps are then counted as they were at that moment,
     * others as they are now. Those that are not in the copy although they had pages (madvise(2),
     * MADV_DONTFORK, MADV_WIPEONFORK) get HW_MAP_UNCOPIED, and are counted as they are now.
     */
    const bool *was_there; /* NULL: there is no copy */
    int copy;
};

/*
 * Fill `pages`, which must be empty, and the counts of each map. Fails with UNSUPPORTED (the kernel
 * does not have the way asked for), SYSTEM, NOMEM; `pages` is empty then.
 */
int hw_residency_read(const struct hw_residency_source *source, struct hw_map *maps, size_t count,
                      struct hw_pages *pages, struct hw_error *err);

/*
 * For each private map, whether there is any page of the process's own in it, in RAM or swapped
 * out: much quicker than to count them. Errors as above.
 */
int hw_residency_probe(const struct hw_residency_source *source, struct hw_map *maps, size_t count,
                       bool *ret, struct hw_error *err);

/*
 * Note which memory is locked in RAM. A program that locks anything mostly locks everything
 * (mlockall(2)). False where only a part is: which, the kernel tells in smaps alone, and the target
 * would wait while that is read.
 */
bool hw_residency_locks(const struct hw_memory *m, struct hw_pages *pages);

#endif
