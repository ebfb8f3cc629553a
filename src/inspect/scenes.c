#include "inspect/scenes.h"

#include "inspect/pins.h"

/* A finding of the walk is there before the block in front of it comes, as the last ones are
 * kept back; one of lists has been for long. So each block is compared with all findings that
 * there are. */
static void note(struct hw_finding *f, const struct hw_block *b, size_t count)
{
    hw_addr at = f->address.n;
    for (size_t i = 0; i < count; i++) {
        if (b[i].address == at)
            f->scene.here = b[i];
        else if (b[i].address < at && at - b[i].address <= b[i].bytes)
            f->scene.before = b[i];
    }
}

/* Blocks of a call may be of several heaps, in any order. */
void hw_scenes_blocks(struct hw_report *r, const struct hw_block *b, size_t count)
{
    hw_addr first = UINT64_MAX, end = 0;
    for (size_t i = 0; i < count; i++) {
        first = b[i].address < first ? b[i].address : first;
        end = b[i].address + b[i].bytes > end ? b[i].address + b[i].bytes : end;
    }
    for (size_t i = 0; i < r->findings.count; i++) {
        struct hw_finding *f = &r->findings.data[i];
        if (f->address.known && f->address.n >= first && f->address.n <= end)
            note(f, b, count);
    }
}

void hw_scenes_read(struct hw_target *t, struct hw_report *r)
{
    for (size_t i = 0; i < r->findings.count; i++) {
        struct hw_finding *f = &r->findings.data[i];
        if (f->address.known && f->kind != HW_FINDING_NOTE)
            f->scene.count =
                (unsigned)hw_read_present(t, f->address.n, f->scene.bytes, sizeof f->scene.bytes);
    }
}
