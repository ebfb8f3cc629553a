/*
 * Where a list of a tcache is broken, the chunks behind the break look like chunks in use. But
 * malloc has left a mark in the second word of each chunk that a tcache holds, to notice when one
 * is freed twice, and clears it when the chunk is handed out (tcache_put and tcache_get in
 * malloc/malloc.c):
 *
 *     until 2.28       none
 *     2.29 to 2.33     the address of the tcache
 *     2.34 and newer   a random number, the same in the whole process
 *
 * What it is the chunks of the lists say that are not broken. Links tell which of the three it may
 * be: only the last is without plain ones, and the second with plain ones or not.
 */
#include "alloc/glibc/glibc.h"

#include <ctype.h>
#include <inttypes.h>

/* Each chunk in use is compared with all lists that broke. */
#define LOST_MAX 64

void glibc_vote_key(struct walk *w, uint64_t key, hw_addr cache)
{
    w->keys_are_caches |= key == cache;
    if (w->key_votes == 0)
        w->key = key;
    if (key == w->key)
        w->key_votes++;
    else
        w->key_votes--;
}

int glibc_note_lost(struct walk *w, const struct lost_list *l, struct hw_error *err)
{
    if (!l->missing || w->lost.count == LOST_MAX || hw_vec_push(&w->lost, *l))
        return HW_OK;
    return hw_fail(err, HW_ERR_NOMEM, "no memory for lists of tcaches");
}

/* No text, no pointer, nothing that programs fill memory with. */
static bool looks_random(const struct walk *w, uint64_t key)
{
    unsigned same = 0, text = 0;
    for (unsigned i = 0; i < w->rules.word; i++) {
        unsigned char byte = (unsigned char)(key >> 8 * i);
        same += byte == (key & 255);
        text += isprint(byte) != 0;
    }
    return w->rules.word == 8 && key >> 48 && same < 4 && text < 6;
}

/* The mark that chunks of this list have; 0 if that is not known. */
static uint64_t key_of(const struct walk *w, const struct lost_list *l)
{
    if (w->keys_are_caches)
        return l->cache;
    if (w->link == LINK_PLAIN)
        return 0;
    if (w->key_votes)
        return w->key;
    return looks_random(w, l->key) ? l->key : 0;
}

static bool has_key(struct walk *w, const struct hw_block *b, uint64_t key)
{
    hw_addr at = b->address + w->rules.header + w->rules.word;
    const uint8_t *word = hw_seeker_at(&w->seeker, at, w->rules.word);
    return word && hw_word(word, w->rules.word) == key;
}

static void rescue(struct walk *w, struct lost_list *l, struct hw_block *b)
{
    uint64_t key = key_of(w, l);
    if (!key || l->row >= w->report->threads.count || !has_key(w, b, key))
        return;
    struct hw_thread_row *row = &w->report->threads.data[l->row];
    b->state = HW_CACHED;
    b->tid = l->tid;
    b->bin = (int16_t)l->bin;
    row->tcache_chunks.n++;
    row->tcache_bytes.n += b->bytes;
    l->missing--;
    l->found++;
}

void glibc_rescue(struct walk *w, struct hw_block *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < w->lost.count && b[i].state == HW_USED; k++) {
            struct lost_list *l = &w->lost.data[k];
            if (l->missing && glibc_tcache_takes(&w->rules, b[i].bytes, l->bin))
                rescue(w, l, &b[i]);
        }
}

void glibc_report_rescued(struct walk *w)
{
    for (size_t i = 0; i < w->lost.count; i++) {
        const struct lost_list *l = &w->lost.data[i];
        if (l->found == 0) /* maybe there is no mark */
            continue;
        hw_report_add(w->report, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "tcache of thread %d: of %" PRIu64 " chunks behind %s of a list, "
                      "%" PRIu64 " were found by the mark that malloc leaves in them%s",
                      l->tid, l->missing + l->found, l->absent ? "a missing one" : "the break",
                      l->found, l->missing ? "; others count as in use" : "");
    }
}
