/*
 * --check in the text report: the list of invariants, and below each finding what stands there.
 */
#include "render/check.h"
#include "render/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* ---- invariants ------------------------------------------------------------------------------ */

#define LINE_MIN 72 /* columns of a line with 16 bytes */
#define HANG     10

static void say_invariant(struct hw_text *t, enum hw_invariant i)
{
    static const char *const words[] = {
        [HW_CHECK_HOLDS] = "ok",
        [HW_CHECK_BROKEN] = "BROKEN",
        [HW_CHECK_IN_PART] = "in part",
        [HW_CHECK_UNKNOWN] = "-",
    };
    const struct hw_invariant_info *info = hw_invariant_info(i);
    enum hw_verdict_of_check verdict = hw_check_verdict(t->r, i);
    uint64_t broken = t->r->check.broken[i];
    bool alarm = verdict == HW_CHECK_BROKEN;
    char number[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 2, HANG, 1);
    fprintf(t->out, "%-*s", HANG - 2, words[verdict]);
    f.column = HANG;
    hw_flow_words(&f, "%s", info->text);
    if (alarm)
        hw_flow_words(&f, "(%s place%s%s%s)", hw_text_count(t, number, hw_text_signed(broken)),
                      broken == 1 ? "" : "s", *info->half_done ? "; also so for a moment " : "",
                      info->half_done);
    if (verdict == HW_CHECK_UNKNOWN)
        hw_flow_words(&f, "(does not apply here)");
    if (verdict == HW_CHECK_IN_PART)
        hw_flow_words(&f, "(the rest is missing, or cannot be read)");
    hw_flow_end(&f);
}

void hw_text_check(struct hw_text *t)
{
    if (!t->r->check.done)
        return;
    hw_text_blank(t);
    fprintf(t->out, "%sCHECK%s\n", hw_text_on(t, HW_STYLE_HEAD), hw_text_off(t));
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_; i++)
        say_invariant(t, (enum hw_invariant)i);
}

/* ---- what stands there ----------------------------------------------------------------------- */

static uint64_t word_at(const uint8_t *bytes, unsigned size)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < size; i++)
        n |= (uint64_t)bytes[i] << 8 * i;
    return n;
}

/* "0x5555555592a0  0000000000000000 0000000000000021  ........!......." */
static void put_line(struct hw_text *t, hw_addr at, const uint8_t *bytes, unsigned count,
                     unsigned room)
{
    unsigned word = t->r->target.word;
    fprintf(t->out, "      %#" PRIx64 " ", at);
    for (unsigned i = 0; i + word <= count; i += word)
        fprintf(t->out, " %0*" PRIx64, 2 * (int)word, word_at(bytes + i, word));
    unsigned words = (room - count) / word;
    fprintf(t->out, "%*s", 2 + (int)(words * (2 * word + 1)), "");
    for (unsigned i = 0; i < count; i++)
        putc(isascii(bytes[i]) && isgraph(bytes[i]) ? bytes[i] : '.', t->out);
    putc('\n', t->out);
}

static void put_bytes(struct hw_text *t, const struct hw_finding *f)
{
    unsigned step = t->width < LINE_MIN ? 8 : 16, word = t->r->target.word;
    unsigned count = word == 4 || word == 8 ? f->scene.count / word * word : 0;
    for (unsigned i = 0; i < count; i += step)
        put_line(t, f->address.n + i, f->scene.bytes + i, count - i < step ? count - i : step,
                 step);
}

/* "0x5555555592a0, 32 bytes, in use" */
static void put_block(struct hw_flow *f, const char *what, const struct hw_block *b,
                      const char *tail)
{
    char size[HW_TEXT_NUMBER];
    hw_flow_words(f, "%s %#" PRIx64 ", %s bytes, %s", what, b->address,
                  hw_text_count(f->t, size, hw_text_signed(b->bytes)),
                  hw_state_name((enum hw_state)b->state));
    if (b->tid)
        hw_flow_words(f, "of thread %d", b->tid);
    hw_flow_words(f, "%s", tail);
}

static void put_blocks(struct hw_text *t, const struct hw_finding *f)
{
    const struct hw_block *before = hw_scene_before(f), *here = hw_scene_here(f);
    if (here) {
        struct hw_flow flow = hw_flow_begin(t, 6, 8, 1);
        put_block(&flow, "counted as", here, "");
        hw_flow_end(&flow);
    }
    if (before) {
        bool adjoins = before->address + before->bytes == f->address.n;
        bool header =
            f->invariant == HW_INVARIANT_CHUNKS || f->invariant == HW_INVARIANT_FREE_CHUNKS;
        bool suspect = adjoins && header && before->state == HW_USED;
        struct hw_flow flow = hw_flow_begin(t, 6, 8, 1);
        put_block(&flow, adjoins ? "before it:" : "inside of", before,
                  suspect ? "- what is written past its end comes here" : "");
        hw_flow_end(&flow);
    }
}

void hw_text_scene(struct hw_text *t, const struct hw_finding *f)
{
    if (!t->r->check.done || !f->address.known || f->kind == HW_FINDING_NOTE)
        return;
    put_bytes(t, f);
    put_blocks(t, f);
}
