/*
 * The unsorted, small and large bins: circular, doubly linked lists of free chunks that are merged
 * with their neighbours. bins[] holds a pair of links for each; a bin's head is a fake chunk placed
 * so that its fd and bk are that pair. Bin 1 is the unsorted one (malloc/malloc.c, "Bins").
 *
 * The linear walk finds the same chunks by their headers. Both sums are kept and compared.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

static void complain(struct walk *w, unsigned arena, unsigned bin, hw_addr at, const char *what)
{
    if (glibc_excuse(w, &w->arenas.data[arena], 0))
        return;
    hw_report_add(w->report, HW_FINDING_BAD_LIST, (int)arena, hw_known(at), (struct hw_maybe){0},
                  "bin %u of arena %u: %s at %#" PRIx64, bin, arena, what, at);
}

static void count_chunk(struct hw_list *list, struct chunk_header h)
{
    if (list->chunks == 0 || h.raw < list->from)
        list->from = h.raw;
    if (h.raw > list->to)
        list->to = h.raw;
    list->chunks++;
    list->bytes += chunk_size(h);
    list->raw_bytes += h.raw;
}

/* NULL, or what is wrong with a chunk found in a bin. */
static const char *flaw(const struct walk *w, unsigned bin, struct chunk_header h, hw_addr bk,
                        hw_addr prev)
{
    uint64_t size = chunk_size(h);
    if (size < w->rules.min_size || size % w->rules.alignment != 0)
        return "an impossible size";
    if (bk != prev)
        return "a chunk that does not point back";
    if (bin >= 2 && chunk_bin_index(&w->rules, size) != bin)
        return "a chunk of the wrong size";
    return NULL;
}

static int walk_bin(struct walk *w, unsigned arena, unsigned bin, hw_addr head, hw_addr chunk,
                    struct hw_error *err)
{
    struct arena *a = &w->arenas.data[arena];
    struct hw_list *list = &w->report->arenas.data[arena].bins[bin];
    struct loop_guard guard = {0};
    unsigned word = w->rules.word;
    hw_addr prev = head;
    while (chunk != head) {
        const uint8_t *bytes = NULL;
        if (loop_guard_repeats(&guard, chunk)) {
            complain(w, arena, bin, chunk, "a loop");
            return HW_OK;
        }
        if ((chunk + w->rules.header) % w->rules.alignment == 0)
            bytes = hw_seeker_at(&w->seeker, chunk, 4 * word);
        if (!bytes) {
            complain(w, arena, bin, chunk, "a link that leads nowhere");
            return HW_OK;
        }
        struct chunk_header h = chunk_decode(&w->rules, bytes);
        struct chunk_header links = chunk_decode(&w->rules, bytes + w->rules.header); /* fd, bk */
        const char *what = flaw(w, bin, h, links.raw, prev);
        if (what) {
            complain(w, arena, bin, chunk, what);
            return HW_OK;
        }
        count_chunk(list, h);
        tally_add(&a->listed, chunk, chunk_size(h));
        if (bin == 1 && w->sink->want_bins && !hw_vec_push(&a->unsorted, chunk))
            return hw_fail(err, HW_ERR_NOMEM, "no memory for unsorted chunks");
        prev = chunk;
        chunk = links.prev_size;
    }
    return HW_OK;
}

static int by_value(const void *a, const void *b)
{
    hw_addr x = *(const hw_addr *)a, y = *(const hw_addr *)b;
    return x < y ? -1 : x > y;
}

int glibc_read_bins(struct walk *w, unsigned arena, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[arena];
    unsigned lists = w->layout->field[GLIBC_F_BINS].count / 2;
    int rc = HW_OK;
    for (unsigned bin = 1; bin <= lists && bin < HW_BIN_LISTS && rc == HW_OK; bin++) {
        hw_addr head =
            hw_field_addr(w->layout, GLIBC_F_BINS, a->address, 2 * (bin - 1)) - 2 * w->rules.word;
        hw_addr first = hw_fetch(&a->state, GLIBC_F_BINS, 2 * (bin - 1));
        if (first) /* all bins are 0 before the first malloc */
            rc = walk_bin(w, arena, bin, head, first, err);
    }
    if (a->unsorted.count)
        qsort(a->unsorted.data, a->unsorted.count, sizeof *a->unsorted.data, by_value);
    return rc;
}
