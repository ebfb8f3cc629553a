/*
 * Holes and pins: where free memory lies between live chunks, and which chunks keep a top from
 * shrinking.
 *
 * Wording matters here, as people act on it. Free memory below a pin is not lost: malloc_trim(0)
 * gives back its whole pages. It is only that glibc does nothing about it by itself.
 */
#include "base/cleanup.h"
#include "render/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ARENAS_SHOWN  10
#define MENTION_BYTES ((uint64_t)1 << 20) /* the default report is silent about less ... */
#define MENTION_SHARE 10                  /* ... and about less than this part of the heap */

/* ---- the sentence ---------------------------------------------------------------------------- */

static uint64_t pin_count(const struct hw_top_pins *p)
{
    return p->chunks + p->cached_chunks;
}

/* "12 chunks of 3.0 KiB in all, 2 of them in tcaches," */
static void put_which(struct hw_flow *f, const struct hw_top_pins *p)
{
    char number[HW_TEXT_NUMBER], size[HW_TEXT_NUMBER];
    uint64_t count = pin_count(p);
    bool one = count == 1;
    hw_flow_words(f, "%s chunk%s of %s%s%s", hw_text_count(f->t, number, hw_text_signed(count)),
                  one ? "" : "s",
                  hw_text_amount(f->t, size, hw_text_signed(p->bytes + p->cached_bytes)),
                  one ? "" : " in all", p->cached_chunks ? "," : "");
    if (p->cached_chunks == count)
        hw_flow_words(f, "in %s,", one ? "a tcache" : "tcaches");
    else if (p->cached_chunks)
        hw_flow_words(f, "%s of them in tcaches,",
                      hw_text_count(f->t, number, hw_text_signed(p->cached_chunks)));
}

/* Whether and when top would shrink without the pins. */
static void put_why_it_matters(struct hw_flow *f, const struct hw_arena *a)
{
    const struct hw_report *r = f->t->r;
    const struct hw_top_pins *p = &a->top_pins;
    struct hw_maybe threshold = r->params.trim_threshold;
    char size[HW_TEXT_NUMBER];
    uint64_t top = hw_merged_top_bytes(&a->top);
    uint64_t grown = top + p->joins_bytes + p->bytes + p->cached_bytes;
    if (!threshold.known || threshold.n <= grown || !hw_heeds_trim_threshold(r, a))
        hw_flow_words(f, "top, from where glibc would give it back by itself;");
    else if (hw_is_never(r, threshold.n))
        hw_flow_words(f, "top, which glibc never shrinks by itself here (trim_threshold is off);");
    else
        hw_flow_words(f, "top, which glibc shrinks by itself once it has %s (trim_threshold);",
                      hw_text_whole(f->t, size, threshold.n));
}

/* Nobody shall believe that a trim is in vain because of these chunks. */
static void put_what_trim_does(struct hw_flow *f, const struct hw_top_pins *p)
{
    char size[HW_TEXT_NUMBER];
    if (!p->joins_trim.known)
        hw_flow_words(f, "malloc_trim(0) would give back the whole pages of it");
    else if (p->joins_trim.n)
        hw_flow_words(f, "malloc_trim(0) would give back %s of it now",
                      hw_text_amount(f->t, size, hw_text_signed(p->joins_trim.n)));
    else if (p->joins_resident == 0)
        hw_flow_words(f, "none of it is in RAM any more");
    else
        hw_flow_words(f, "malloc_trim(0) would give back nothing of it");
}

static void say_pins(struct hw_text *t, const struct hw_arena *a)
{
    const struct hw_top_pins *p = &a->top_pins;
    char name[HW_TEXT_NAME], size[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    put_which(&f, p);
    if (a->kind == HW_ARENA_MAIN)
        hw_flow_words(&f, "at the end of the main arena");
    else
        hw_flow_words(&f, "at the end of arena %s", hw_text_arena_name(name, a));
    hw_flow_words(&f, "keep%s %s of free memory", pin_count(p) == 1 ? "s" : "",
                  hw_text_amount(t, size, hw_text_signed(p->joins_bytes)));
    if (p->joins_trim.known)
        hw_flow_words(&f, "(%s in RAM)",
                      hw_text_amount(t, size, hw_text_signed(p->joins_resident)));
    hw_flow_words(&f, "from joining");
    put_why_it_matters(&f, a);
    put_what_trim_does(&f, p);
    hw_flow_end(&f);
}

/* ---- which arenas ---------------------------------------------------------------------------- */

/* What the pins of an arena matter: 0 if there are none. Memory that is not in RAM costs nobody
 * anything. */
static uint64_t weight(const struct hw_arena *a)
{
    const struct hw_top_pins *p = &a->top_pins;
    return p->joins_trim.known ? p->joins_resident : p->joins_bytes;
}

static int heaviest_first(const void *a, const void *b)
{
    const struct hw_arena *x = *(const struct hw_arena *const *)a;
    const struct hw_arena *y = *(const struct hw_arena *const *)b;
    if (weight(x) != weight(y))
        return weight(x) > weight(y) ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The arenas that have pins and are to be shown; allocated. */
static const struct hw_arena **pinned_arenas(struct hw_text *t, size_t *count)
{
    const struct hw_report *r = t->r;
    const struct hw_arena **list = calloc(r->arenas.count + 1, sizeof *list);
    *count = 0;
    t->nomem |= !list;
    for (size_t i = 0; list && i < r->arenas.count; i++)
        if (r->arenas.data[i].top_pins.joins_bytes && hw_shows_arena(t->opt, (int)i))
            list[(*count)++] = &r->arenas.data[i];
    if (*count)
        qsort(list, *count, sizeof *list, heaviest_first);
    return list;
}

void hw_text_pins(struct hw_text *t)
{
    const struct hw_arena *most = NULL;
    for (size_t i = 0; i < t->r->arenas.count; i++) {
        const struct hw_arena *a = &t->r->arenas.data[i];
        if (hw_shows_arena(t->opt, (int)i) && (!most || weight(a) > weight(most)))
            most = a;
    }
    int64_t system = hw_get(t->r->totals, HW_M_SYSTEM_BYTES);
    if (!most || t->r->holes_wanted || weight(most) < MENTION_BYTES || system < 0 ||
        weight(most) < (uint64_t)system / MENTION_SHARE)
        return;
    say_pins(t, most);
}

/* ---- one chunk ------------------------------------------------------------------------------- */

static void put_sample(struct hw_text *t, const struct hw_pin *p)
{
    enum { INDENT = 10 };
    unsigned row = t->width < 80 ? 8 : 16;
    for (unsigned from = 0; from < p->sample_bytes; from += row) {
        unsigned to = from + row < p->sample_bytes ? from + row : p->sample_bytes;
        fprintf(t->out, "%*s", INDENT, "");
        for (unsigned i = from; i < from + row; i++)
            if (i < to)
                fprintf(t->out, "%02x ", p->sample[i]);
            else
                fputs("   ", t->out);
        fputs(" |", t->out);
        for (unsigned i = from; i < to; i++)
            putc(isascii(p->sample[i]) && isprint(p->sample[i]) ? p->sample[i] : '.', t->out);
        fputs("|\n", t->out);
    }
}

/* A column of its own, whose words flow. */
static void put_symbol(struct hw_flow *f, const char *symbol)
{
    size_t first = strcspn(symbol, " ");
    if (first)
        hw_flow_piece(f, "%.*s", (int)first, symbol);
    f->gap = 1;
    hw_flow_words(f, "%s", symbol + first);
}

static void put_pin(struct hw_text *t, const char *where, const struct hw_pin *p)
{
    char size[HW_TEXT_NUMBER];
    const struct hw_block *b = &p->block;
    if (b->state == HW_STATES_)
        return;
    struct hw_flow f = hw_flow_begin(t, 4, 10, 2);
    f.limit = t->width;
    if (*where)
        hw_flow_piece(&f, "%s", where);
    hw_flow_piece(&f, "%#" PRIx64, b->address);
    hw_flow_piece(&f, "%s", hw_text_amount(t, size, hw_text_signed(b->bytes)));
    if (b->state == HW_CACHED)
        hw_flow_piece(&f, "in the tcache of thread %d", b->tid);
    else
        hw_flow_piece(&f, "%s", hw_state_name((enum hw_state)b->state));
    put_symbol(&f, p->symbol);
    hw_flow_end(&f);
    put_sample(t, p);
}

/* ---- holes ----------------------------------------------------------------------------------- */

static void put_hole(struct hw_text *t, const struct hw_hole *h)
{
    char name[HW_TEXT_NAME], buf[HW_TEXT_NUMBER];
    const struct hw_arena *a = &t->r->arenas.data[h->arena];
    struct hw_flow f = hw_flow_begin(t, 2, 4, 2);
    f.limit = t->width;
    hw_flow_piece(&f, "%#" PRIx64, h->address);
    hw_flow_piece(&f, "%s", hw_text_amount(t, buf, hw_text_signed(h->bytes)));
    hw_flow_piece(&f, "%s%s", a->kind == HW_ARENA_MAIN ? "" : "arena ",
                  hw_text_arena_name(name, a));
    if (h->has_top)
        hw_flow_piece(&f, "top");
    else if (h->chunks > 1)
        hw_flow_piece(&f, "%u chunks", h->chunks);
    if (h->resident_bytes.known)
        hw_flow_piece(&f, "%s in RAM", hw_text_amount(t, buf, hw_text_signed(h->resident_bytes.n)));
    if (h->trim_bytes.known && h->resident_bytes.n)
        hw_flow_piece(&f, "malloc_trim(0): %s",
                      hw_text_amount(t, buf, hw_text_signed(h->trim_bytes.n)));
    hw_flow_end(&f);
    put_pin(t, "above", &h->above);
    put_pin(t, "below", &h->below);
}

static void put_pins(struct hw_text *t, const struct hw_arena *a)
{
    const struct hw_top_pins *p = &a->top_pins;
    char number[HW_TEXT_NUMBER];
    say_pins(t, a);
    for (size_t i = 0; i < p->first.count; i++)
        put_pin(t, "", &p->first.data[i]);
    if (p->first.count < pin_count(p))
        hw_text_say(t, 4, 6, "... and %s more",
                    hw_text_count(t, number, hw_text_signed(pin_count(p) - p->first.count)));
}

void hw_text_holes(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    char number[HW_TEXT_NUMBER];
    if (!r->holes_wanted)
        return;
    fprintf(t->out, "\n%sHOLES%s     ", hw_text_on(t, HW_STYLE_HEAD), hw_text_off(t));
    if (r->holes.count)
        fprintf(t->out, "largest free runs, by %s\n",
                r->holes.data[0].resident_bytes.known ? "bytes in RAM" : "size");
    else
        fputs("none: nothing is free\n", t->out);
    for (size_t i = 0; i < r->holes.count; i++)
        put_hole(t, &r->holes.data[i]);

    size_t count;
    hw_autofree const struct hw_arena **list = pinned_arenas(t, &count);
    fprintf(t->out, "\n%sPINS%s      ", hw_text_on(t, HW_STYLE_HEAD), hw_text_off(t));
    fputs(count ? "what keeps tops from shrinking\n" : "nothing keeps much from joining a top\n",
          t->out);
    for (size_t i = 0; i < count && (i < ARENAS_SHOWN || t->opt->all_arenas); i++)
        put_pins(t, list[i]);
    if (count > ARENAS_SHOWN && !t->opt->all_arenas)
        hw_text_say(t, 2, 4, "... in %s more arenas, too (--all-arenas shows them)",
                    hw_text_count(t, number, (int64_t)(count - ARENAS_SHOWN)));
}
