#include "fake_image.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

uint8_t byte_at(hw_addr addr)
{
    return (uint8_t)(addr ^ addr >> 8 ^ addr >> 16);
}

bool right(const uint8_t *p, hw_addr addr, size_t len)
{
    for (size_t i = 0; p && i < len; i++)
        if (p[i] != byte_at(addr + i))
            return false;
    return p != NULL;
}

static void note_thread(struct fake *f)
{
    sigset_t blocked;
    if (gettid() == f->tid)
        return;
    f->by_others++;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGCHLD) ||
        !sigismember(&blocked, SIGRTMIN))
        f->others_take_signals = true;
}

/* One call, whatever it reads. */
static void note_call(struct fake *f)
{
    f->reads++;
    note_thread(f);
    if (f->delay_us)
        usleep(f->delay_us);
}

static ssize_t copy_out(struct fake *f, hw_addr addr, void *buf, size_t len)
{
    if (f->gone_from && addr + len > f->gone_from)
        return HW_ERR_GONE;
    if (addr < f->start || addr >= f->end || (addr >= f->hole && addr < f->hole_end))
        return 0;
    hw_addr end = addr < f->hole ? f->hole : f->end;
    if (len > end - addr)
        len = (size_t)(end - addr);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(byte_at(addr + i) + f->version);
    if (f->t.pages_known)
        f->disturbed += len - hw_pages_count(&f->t.pages, addr, addr + len).resident;
    return (ssize_t)len;
}

static ssize_t fake_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                         struct hw_error *err)
{
    (void)err;
    struct fake *f = (struct fake *)t;
    note_call(f);
    return copy_out(f, addr, buf, len);
}

static size_t fake_read_ranges(struct hw_target *t, const struct hw_range *ranges, size_t count,
                               void *buf)
{
    struct fake *f = (struct fake *)t;
    size_t done = 0;
    if (count < 2)
        return 0;
    note_call(f);
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)(ranges[i].end - ranges[i].start);
        ssize_t n = copy_out(f, ranges[i].start, (char *)buf + done, len);
        done += n > 0 ? (size_t)n : 0;
        if (n < (ssize_t)len)
            break;
    }
    return done;
}

static const struct hw_target_ops fake_ops = {.read = fake_read, .read_ranges = fake_read_ranges};

struct fake make_fake(uint64_t bytes)
{
    return (struct fake){.t = {.ops = &fake_ops, .who.page_size = PAGE},
                         .start = BASE,
                         .end = BASE + bytes,
                         .tid = gettid()};
}

struct fake sparse_fake(uint64_t pages)
{
    struct fake f = make_fake(pages * PAGE);
    f.t.pages_known = true;
    f.t.pages = hw_pages_empty(PAGE);
    for (hw_addr a = BASE; a < f.end; a += 16 * PAGE) {
        cr_assert_eq(hw_pages_set(&f.t.pages, a, a + 10 * PAGE, HW_PAGE_RESIDENT, NULL), HW_OK);
        cr_assert_eq(hw_pages_set(&f.t.pages, a + 10 * PAGE, a + 13 * PAGE, HW_PAGE_SWAPPED, NULL),
                     HW_OK);
    }
    return f;
}
