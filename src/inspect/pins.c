#include "inspect/pins.h"

#include "base/vec.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef HW_VEC(struct hw_pin *) pin_vec;

/* All pins that are shown. Those beyond the memory we have stay without a name. */
static pin_vec all_pins(struct hw_report *r)
{
    pin_vec list = {0};
    bool room = true;
    for (size_t i = 0; room && i < r->holes.count; i++)
        room = hw_vec_push(&list, &r->holes.data[i].below) &&
               hw_vec_push(&list, &r->holes.data[i].above);
    for (size_t i = 0; room && i < r->arenas.count; i++)
        for (size_t p = 0; room && p < r->arenas.data[i].top_pins.first.count; p++)
            room = hw_vec_push(&list, &r->arenas.data[i].top_pins.first.data[p]);
    return list;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The program's part of a chunk ends with the word in front of the next chunk's size. */
static uint64_t usable_bytes(const struct hw_report *r, const struct hw_block *b)
{
    bool handed_out = b->state == HW_USED || b->state == HW_CACHED;
    return handed_out && b->bytes > r->target.word ? b->bytes - r->target.word : 0;
}

/* Read, but never a page of a process that has nothing: that would make the kernel map one. */
size_t hw_read_present(struct hw_target *t, hw_addr from, void *buf, size_t len)
{
    hw_addr end = t->who.kind == HW_TARGET_LIVE ? from : from + len;
    while (end - from < len) {
        hw_addr next = (end / t->who.page_size + 1) * t->who.page_size;
        uint64_t budget = 1;
        if (hw_next_data(t, end, next, &budget) != end)
            break;
        end = next;
    }
    ssize_t n = hw_read(t, from, buf, end - from < len ? end - from : len, NULL);
    return n > 0 ? (size_t)n : 0;
}

static void read_pin(struct hw_target *t, const struct hw_report *r, struct hw_pin *pin,
                     unsigned sample_bytes)
{
    uint8_t bytes[sizeof pin->sample];
    unsigned word = r->target.word;
    uint64_t usable = usable_bytes(r, &pin->block);
    size_t want = sample_bytes > word ? sample_bytes : word;
    if (want > sizeof bytes)
        want = sizeof bytes;
    if (usable < word)
        return;
    size_t n =
        hw_read_present(t, pin->block.address + 2 * word, bytes, want < usable ? want : usable);
    if (n >= word && pin->block.state == HW_USED) { /* a tcache's chunks begin with its links */
        pin->first_word = hw_known(0);
        for (unsigned i = 0; i < word; i++)
            pin->first_word.n |= (uint64_t)bytes[i] << 8 * i;
    }
    pin->sample_bytes = n < sample_bytes ? (unsigned)n : sample_bytes;
    memcpy(pin->sample, bytes, pin->sample_bytes);
}

void hw_pins_read(struct hw_target *t, struct hw_report *r, unsigned sample_bytes)
{
    pin_vec pins = all_pins(r);
    for (size_t i = 0; i < pins.count; i++)
        read_pin(t, r, pins.data[i], sample_bytes);
    hw_vec_free(&pins);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* A chunk that was in a bin and then handed out begins with a pointer into the arena until the
 * program writes there: that tells nothing about it. */
static bool is_left_by_malloc(const struct hw_report *r, hw_addr word)
{
    uint64_t arena_bytes = 2 * (HW_BIN_LISTS + 16) * (uint64_t)r->target.word;
    return word >= r->allocator.main_arena && word - r->allocator.main_arena < arena_bytes;
}

/* Objects point behind the head of their vtable, which is two words: that is no offset worth
 * mentioning. */
static void put_symbol(struct hw_pin *pin, unsigned word, const char *module, const char *name,
                       uint64_t offset)
{
    bool usual = offset == 0 || (offset == 2 * word && strncmp(name, "vtable for ", 11) == 0);
    char tail[32] = "";
    if (!usual)
        snprintf(tail, sizeof tail, "+%#" PRIx64, offset);
    int room = (int)(sizeof pin->symbol - strlen(tail) - sizeof ": ...");
    int shown = room - (int)strnlen(module, (size_t)room / 2);
    bool cut = (int)strlen(name) > shown;
    snprintf(pin->symbol, sizeof pin->symbol, "%.*s: %.*s%s%s", room / 2, module, shown, name,
             cut ? "..." : "", tail);
}

/* Names come from files that anybody may have written. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if (!isascii((unsigned char)*text) || !isprint((unsigned char)*text))
            *text = '?';
}

static void name_pin(struct hw_modules *modules, const struct hw_demangler *demangler,
                     const struct hw_report *r, struct hw_pin *pin)
{
    uint64_t offset;
    hw_addr addr = pin->first_word.n;
    struct hw_module *mod = hw_modules_at(modules, addr);
    if (!mod || is_left_by_malloc(r, addr))
        return;
    const char *name = NULL;
    if (hw_module_load(modules, mod, NULL) == HW_OK)
        name = hw_module_name_of(mod, addr, &offset);
    if (name) {
        char words[512];
        hw_demangle(demangler, name, words, sizeof words);
        put_symbol(pin, r->target.word, mod->name, words, offset);
    } else {
        snprintf(pin->symbol, sizeof pin->symbol, "%.*s+%#" PRIx64, 100, mod->name,
                 addr - mod->bias);
    }
    make_printable(pin->symbol);
}

static int by_first_word(const void *a, const void *b)
{
    const struct hw_pin *x = *(struct hw_pin *const *)a, *y = *(struct hw_pin *const *)b;
    return (x->first_word.n > y->first_word.n) - (x->first_word.n < y->first_word.n);
}

void hw_pins_name(struct hw_modules *modules, const struct hw_demangler *demangler,
                  struct hw_report *r)
{
    pin_vec pins = all_pins(r);
    if (pins.count)
        qsort(pins.data, pins.count, sizeof(struct hw_pin *), by_first_word);
    for (size_t i = 0; i < pins.count; i++) { /* looking up a name takes long, and many are alike */
        struct hw_pin *pin = pins.data[i], *before = i ? pins.data[i - 1] : NULL;
        if (!pin->first_word.known)
            continue;
        if (before && before->first_word.known && before->first_word.n == pin->first_word.n)
            memcpy(pin->symbol, before->symbol, sizeof pin->symbol);
        else
            name_pin(modules, demangler, r, pin);
    }
    hw_vec_free(&pins);
}
