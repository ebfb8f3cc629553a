/*
 * From a thread's registers to the functions that it is in: by call frame information (.eh_frame),
 * which stripped files have, too. So what is found are callers, and not whatever else looks like a
 * return address on the stack.
 */
#ifndef HW_SYMBOLS_UNWIND_H
#define HW_SYMBOLS_UNWIND_H

#include "symbols/modules.h"
#include "target/regs.h"

struct hw_frame {
    hw_addr pc;                /* the instruction that is next */
    bool called;               /* it follows a call: what the frame is in ends before it */
    struct hw_dwarf_regs regs; /* what they hold, or will hold once what was called has returned */
};

/* Where the frame is: an address in the function that is being executed. */
static inline hw_addr hw_frame_place(const struct hw_frame *f)
{
    return f->called ? f->pc - 1 : f->pc;
}

struct hw_unwinder;

/* For the modules of `t`; both outlive it. The kernel's own code ([vdso]) is read from the target
 * now, files of modules only when a frame is in them. NOMEM. */
int hw_unwinder_open(struct hw_target *t, struct hw_modules *m, struct hw_unwinder **ret,
                     struct hw_error *err);
void hw_unwinder_close(struct hw_unwinder *u);

/* A copy of a part of the target's memory: of the stack. */
struct hw_stack {
    hw_addr start;
    const uint8_t *bytes;
    size_t len;
    struct hw_target *rest; /* where what else is needed can be read, or NULL */
};

/* The innermost frame of a thread, whose registers are known. */
void hw_unwind_begin(const struct hw_machine *m, const struct hw_thread *th, struct hw_frame *ret);

/*
 * Go on to the caller. False where there is none, or it cannot be told; *f is unchanged then.
 * Whether that ever ends is not known: limit the number of steps.
 */
bool hw_unwind_step(struct hw_unwinder *u, const struct hw_stack *stack, struct hw_frame *f);

/* The stack pointer of a frame, 0 if it is unknown. */
hw_addr hw_frame_sp(const struct hw_unwinder *u, const struct hw_frame *f);

#endif
