/*
 * This is the one loop that looks at every block of a heap and compares it with its neighbour. It
 * does so without a jump that depends on the heap: in a heap with free chunks here and there
 * nobody, the processor least of all, can foretell what comes next.
 */
#include "analysis/spans.h"

/* Tops and overhead, the last of the states, stand alone. */
_Static_assert(HW_TOP + 1 == HW_OVERHEAD && HW_OVERHEAD + 1 == HW_STATES_, "order of states");

static size_t find_starts(const struct hw_block *b, size_t count, uint8_t *starts)
{
    size_t n = 0;
    hw_addr next = 0;
    unsigned state = HW_STATES_, most = 0;
    for (size_t i = 0; i < count; i++) {
        bool joins = (b[i].address == next) & (b[i].state == state) & (state < HW_TOP);
        starts[n] = (uint8_t)i; /* to be overwritten if it joins */
        n += !joins;
        state = b[i].state;
        most = state > most ? state : most;
        next = b[i].address + b[i].bytes;
    }
    return most < HW_STATES_ ? n : 0;
}

size_t hw_spans(const struct hw_block *b, size_t count, struct hw_span *ret)
{
    uint8_t starts[HW_SPAN_BLOCKS + 1];
    size_t n = find_starts(b, count, starts);
    starts[n] = (uint8_t)count;
    for (size_t i = 0; i < n; i++) {
        const struct hw_block *first = &b[starts[i]], *last = &b[starts[i + 1] - 1];
        ret[i] = (struct hw_span){.blocks = first,
                                  .count = (size_t)(last - first) + 1,
                                  .address = first->address,
                                  .bytes = last->address + last->bytes - first->address,
                                  .state = first->state};
    }
    return n;
}
