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
 * smaps would be a third, but it holds the target's mmap lock for tens of milliseconds per GiB.
 */
#ifndef HW_TARGET_RESIDENCY_H
#define HW_TARGET_RESIDENCY_H

#include "target/image.h"

enum hw_residency_way { HW_RESIDENCY_BEST, HW_RESIDENCY_SCAN, HW_RESIDENCY_PREAD };

/*
 * Fill `pages`, which must be empty, and the counts of each map. `swap_used` is false if the process
 * has nothing swapped out (VmSwap is 0): then entries that look swapped are markers that the kernel
 * keeps in page tables, guard pages of stacks for example. Fails with UNSUPPORTED (the kernel does
 * not have the way asked for), SYSTEM, NOMEM; `pages` is empty then.
 */
int hw_residency_read(int pagemap, struct hw_map *maps, size_t map_count, bool swap_used,
                      enum hw_residency_way way, struct hw_pages *pages, struct hw_error *err);

#endif
