/*
 * Following the singly linked lists of tcache and fastbins, and remembering what they hold.
 *
 * Since glibc 2.32 a link is stored as (address of the link >> 12) XOR target ("safe-linking").
 * Whether this libc does that is read from the lists themselves: a link decoded the wrong way is
 * unaligned, or leads to what is no chunk of that list. The heads of many lists vote, so that one
 * link that the program has overwritten does not decide for all. What a layout tells of its version
 * comes first.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

/* The size of the chunk with this user pointer; 0 if there is none. */
static uint64_t size_at(struct walk *w, hw_addr user)
{
    const uint8_t *word = NULL;
    if (user >= w->rules.header && user % w->rules.alignment == 0)
        word = hw_seeker_at(&w->seeker, user - w->rules.word, w->rules.word);
    return word ? hw_word(word, w->rules.word) & ~(uint64_t)CHUNK_FLAGS : 0;
}

/*
 * `at` is the user pointer of a list's first chunk, where its link is stored; `distance`, how far
 * behind what links lead to the next one's is. All chunks of a list have one size, so it is hard to
 * get to one by mistake. 0, the end of a list, tells nothing for plain links: it is what a careless
 * program writes, too.
 */
void glibc_vote_link(struct walk *w, hw_addr at, unsigned distance)
{
    uint64_t size = size_at(w, at);
    const uint8_t *word = hw_seeker_at(&w->seeker, at, w->rules.word);
    if (!word || !size)
        return;
    uint64_t stored = hw_word(word, w->rules.word);
    hw_addr mangled = link_decode(LINK_MANGLED, at, stored);
    bool as_mangled = mangled == 0 || size_at(w, mangled + distance) == size;
    bool as_plain = size_at(w, stored + distance) == size;
    if (as_mangled && !as_plain)
        w->link_votes++;
    else if (as_plain && !as_mangled)
        w->link_votes--;
    else if (stored == 0)
        w->link_nulls++;
}

/* Structs that changed before or since tell, whatever is in the lists. */
bool glibc_know_links(struct walk *w)
{
    bool until_2_25 = w->rules.alignment < 16;
    bool until_2_29 = w->layout->field[GLIBC_F_TCACHE_COUNTS].size == 1;
    bool since_2_35 = hw_has(w->layout, GLIBC_F_HEAP_PAGESIZE);
    w->link = since_2_35 ? LINK_MANGLED : LINK_PLAIN;
    return until_2_25 || until_2_29 || since_2_35;
}

void glibc_count_votes(struct walk *w)
{
    /* Where there are only ends of lists, plain ones are all 0 and mangled ones never. */
    bool plain = w->link_votes < 0 || (w->link_votes == 0 && w->link_nulls > 0);
    w->link = plain ? LINK_PLAIN : LINK_MANGLED;
}

hw_addr glibc_next_link(const struct walk *w, hw_addr at, const uint8_t *word)
{
    return hw_untag(w->target->who.machine, link_decode(w->link, at, hw_word(word, w->rules.word)));
}

int glibc_remember(struct walk *w, const struct cached *c, bool *full, struct hw_error *err)
{
    /* Lists that share their links could make more of them than there is memory. */
    *full = w->cached.count >= w->private_bytes / w->rules.min_size;
    if (*full || glibc_sweep_keep(w, c) || hw_vec_push(&w->cached, *c))
        return HW_OK;
    return hw_fail(err, HW_ERR_NOMEM, "no memory for cached chunks");
}

static bool are_of_one_list(const struct cached *a, const struct cached *b)
{
    return a->tid == b->tid && a->bin == b->bin && a->state == b->state;
}

/* Each such list has to be searched for all of what was read with it. */
#define CUTS_MAX 64

hw_addr glibc_cut_loop(struct walk *w, size_t first, const struct cached *of, hw_addr chunk,
                       struct tally *dropped)
{
    HW_VEC(hw_addr) list = {0};
    bool room = w->cuts++ < CUTS_MAX;
    for (size_t i = first; i < w->cached.count && room; i++)
        if (are_of_one_list(&w->cached.data[i], of))
            room = hw_vec_push(&list, w->cached.data[i].address);
    size_t round = 1, start = 0, kept = first, met = 0;
    while (round < list.count && list.data[list.count - round] != chunk)
        round++;
    /* All behind the first one of the loop comes again `round` further on. */
    while (start + round < list.count && list.data[start] != list.data[start + round])
        start++;
    for (size_t i = first; i < w->cached.count && room && list.count; i++) {
        const struct cached *c = &w->cached.data[i];
        if (!are_of_one_list(c, of) || met++ < start + round)
            w->cached.data[kept++] = *c;
        else
            tally_add(dropped, c->address, size_at(w, c->address + w->rules.header));
    }
    if (room && list.count) {
        w->cached.count = kept;
        chunk = list.data[start];
    }
    hw_vec_free(&list);
    return chunk;
}

static int by_tid(const void *a, const void *b)
{
    const struct row_of *x = a, *y = b;
    return x->tid != y->tid ? (x->tid > y->tid) - (x->tid < y->tid)
                            : (x->row > y->row) - (x->row < y->row);
}

int glibc_index_rows(struct walk *w, struct hw_error *err)
{
    const struct hw_thread_row *rows = w->report->threads.data;
    for (size_t i = 0; i < w->report->threads.count; i++)
        if (!hw_vec_push(&w->rows, (struct row_of){rows[i].tid, i}))
            return hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    if (w->rows.count)
        qsort(w->rows.data, w->rows.count, sizeof *w->rows.data, by_tid);
    return HW_OK;
}

/* A chunk of a tcache does not count: it is there twice, or nowhere. (A damaged core may
 * have several threads of one number; then it may be another one's, which has less than that.) */
static void uncount(struct walk *w, const struct cached *c)
{
    uint64_t size = size_at(w, c->address + w->rules.header);
    size_t low = 0, high = w->rows.count;
    if (c->state != HW_CACHED)
        return;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->rows.data[middle].tid < c->tid)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == w->rows.count || w->rows.data[low].tid != c->tid)
        return;
    struct hw_thread_row *row = &w->report->threads.data[w->rows.data[low].row];
    if (row->tcache_chunks.n && row->tcache_bytes.n >= size) {
        row->tcache_chunks.n -= 1;
        row->tcache_bytes.n -= size;
    }
}

static enum hw_invariant invariant_of(const struct cached *c)
{
    return c->state == HW_CACHED ? HW_INVARIANT_TCACHES : HW_INVARIANT_FASTBINS;
}

static void insert_sorted(struct cached *c, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct cached moving = c[i];
        size_t j = i;
        for (; j > 0 && c[j - 1].address > moving.address; j--)
            c[j] = c[j - 1];
        c[j] = moving;
    }
}

/*
 * By the byte of the address at `shift`, then by those below it (a radix sort in place). There may
 * be millions of chunks while the target stands still, and qsort(3) takes as much memory again.
 */
static void sort_bytes(struct cached *c, size_t count, unsigned shift)
{
    size_t next[256], end[256] = {0}, at = 0;
    if (count <= 32) {
        insert_sorted(c, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        end[c[i].address >> shift & 255]++;
    for (unsigned byte = 0; byte < 256; byte++) {
        next[byte] = at;
        end[byte] = at += end[byte];
    }
    for (unsigned byte = 0; byte < 256; byte++)
        while (next[byte] < end[byte]) {
            struct cached moving = c[next[byte]];
            for (unsigned to; (to = moving.address >> shift & 255) != byte;) {
                struct cached other = c[next[to]];
                c[next[to]++] = moving;
                moving = other;
            }
            c[next[byte]++] = moving;
        }
    for (unsigned byte = 0; byte < 256 && shift; byte++) {
        size_t start = byte ? end[byte - 1] : 0;
        sort_bytes(c + start, end[byte] - start, shift - 8);
    }
}

void glibc_sort_cached(struct walk *w)
{
    size_t kept = 0;
    glibc_sweep_end(w);
    sort_bytes(w->cached.data, w->cached.count, 56);
    for (size_t i = 0; i < w->cached.count; i++) {
        struct cached *c = &w->cached.data[i];
        if (kept && w->cached.data[kept - 1].address == c->address) {
            if (glibc_excuse(w, NULL, 0))
                continue;
            hw_report_break(w->report, invariant_of(c), HW_FINDING_BAD_LIST, -1,
                            hw_known(c->address), (struct hw_maybe){0},
                            "chunk %#" PRIx64 " is in two free lists at once: freed twice",
                            c->address);
            uncount(w, c);
            continue;
        }
        w->cached.data[kept++] = *c;
    }
    w->cached.count = kept;
}

size_t glibc_cached_from(const struct walk *w, hw_addr address)
{
    size_t low = 0, high = w->cached.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->cached.data[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void glibc_report_unseen(struct walk *w)
{
    glibc_sort_unseen(w);
    for (size_t i = 0; i < w->cached.count; i++) {
        const struct cached *c = &w->cached.data[i];
        if (c->seen)
            continue;
        if (glibc_may_be_unseen(w, c->address)) {
            w->report->check.missed[invariant_of(c)]++;
            uncount(w, c);
            continue;
        }
        bool known = glibc_room_end(w, c->address) == c->address;
        hw_report_break(w->report, invariant_of(c), HW_FINDING_LIST_MISMATCH, -1,
                        hw_known(c->address), (struct hw_maybe){0},
                        "chunk %#" PRIx64 " is in a %s but %s", c->address,
                        c->state == HW_CACHED ? "tcache" : "fastbin",
                        known ? "the walk met no chunk there"
                              : "lies in no heap: what malloc never gave out was freed, or a link "
                                "was overwritten");
        uncount(w, c);
    }
}
