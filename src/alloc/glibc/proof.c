/*
 * Do the bins hold what the linear walk met, all of it and nothing else? Answered without following
 * them, which would read as much memory again, and in random order.
 *
 *     head <--> A <--> B <--> head        each knows the next one, fd, and the one before, bk
 *
 * Take all free chunks that the walk met, and the heads of all bins. Their fd tell of links
 * (c, fd(c)), their bk of links (bk(c), c). If these are the same links, then fd(c) is always one
 * of them, and no two have the same: they form closed rings. So a list leads only to chunks that
 * the walk met; and what is in no list would have to be in a ring without a head, to which damage
 * does not lead by chance. That the links are the same is seen from the sums of their hashes.
 *
 * If they are not, the lists are followed after all, to name the place.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

static uint64_t edges_of_heads(const struct walk *w, const struct arena *a)
{
    unsigned lists = w->layout->field[GLIBC_F_BINS].count / 2;
    uint64_t sum = 0;
    for (unsigned i = 0; i < lists && i + 1 < HW_BIN_LISTS; i++) {
        hw_addr head =
            hw_field_addr(w->layout, GLIBC_F_BINS, a->address, 2 * i) - 2 * w->rules.word;
        hw_addr fd = hw_fetch(&a->state, GLIBC_F_BINS, 2 * i);
        hw_addr bk = hw_fetch(&a->state, GLIBC_F_BINS, 2 * i + 1);
        if (fd) /* all bins are 0 before the first malloc */
            sum += edge(head, fd) - edge(bk, head);
    }
    return sum;
}

static void mismatch(struct walk *w, unsigned index, uint64_t bytes, const char *how)
{
    const struct tally *listed = &w->arenas.data[index].listed;
    const struct tally *walked = &w->arenas.data[index].walked;
    if (w->arenas.data[index].absent) { /* either may lack what is missing */
        w->report->check.missed[HW_INVARIANT_BIN_SETS]++;
        return;
    }
    hw_report_break(w->report, HW_INVARIANT_BIN_SETS, HW_FINDING_LIST_MISMATCH, (int)index,
                    (struct hw_maybe){0}, hw_known(bytes),
                    "arena %u: its bins hold %" PRIu64 " chunks (%" PRIu64
                    " bytes), the walk met %" PRIu64 " free ones (%" PRIu64 " bytes)%s",
                    index, listed->chunks, listed->bytes, walked->chunks, walked->bytes, how);
}

/* Lists that were followed must have led to the same chunks; and to bad ones, which are findings
 * already. */
static bool compare(struct walk *w, unsigned index)
{
    const struct tally *listed = &w->arenas.data[index].listed;
    const struct tally *walked = &w->arenas.data[index].walked;
    const struct tally *bad = &w->arenas.data[index].bad;
    if (listed->chunks == walked->chunks + bad->chunks &&
        listed->bytes == walked->bytes + bad->bytes &&
        listed->digest == walked->digest + bad->digest)
        return true;
    if (glibc_excuse(w, &w->arenas.data[index], 0))
        return false;
    mismatch(w, index,
             listed->bytes > walked->bytes ? listed->bytes - walked->bytes
                                           : walked->bytes - listed->bytes,
             "");
    return false;
}

int glibc_prove_bins(struct walk *w, unsigned index, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    if (w->report->lists_known) {
        compare(w, index);
        return HW_OK;
    }
    if (a->edges + edges_of_heads(w, a) == 0 && !a->edges_missing)
        return HW_OK;
    if (glibc_excuse(w, a, 0)) /* then it need not be told why */
        return HW_OK;
    uint64_t flaws = w->bin_flaws;
    int rc = glibc_read_bins(w, index, err);
    if (rc == HW_OK && compare(w, index) && flaws == w->bin_flaws && a->bad.chunks == 0)
        mismatch(w, index, 0, ", but their links do not fit to each other");
    return rc;
}
