#include "inspect/schedule.h"

#include "analysis/adopt.h"
#include "base/cleanup.h"

/* Where there is nothing to go by: a byte or two in a nanosecond is what a core reads of small
 * chunks. */
#define BYTES_PER_NS 2

/*
 * While the target ran, it took processors from the walk, and what did not fit was read anew. To
 * begin in vain costs some of the time that the target may stand still anyway; not to begin may
 * cost the exact figures of an arena.
 */
#define FASTER 1.5

struct job {
    unsigned arena;
    uint64_t ns;
};

static uint64_t system_bytes(const struct hw_arena *a)
{
    int64_t n = hw_get(a->figures, HW_M_SYSTEM_BYTES);
    return n > 0 ? (uint64_t)n : 0;
}

uint64_t hw_schedule_ns(const struct hw_report *now, struct hw_report *earlier, unsigned index)
{
    const struct hw_arena *a = &now->arenas.data[index];
    const struct hw_arena *before = hw_report_earlier(now, earlier, index);
    uint64_t bytes = system_bytes(a);
    if (!before || before->address != a->address || !before->walk_ns || !system_bytes(before))
        return bytes / BYTES_PER_NS;
    double grown = (double)bytes / (double)system_bytes(before);
    double ns = (double)before->walk_ns * (grown > 1 ? grown : 1) / FASTER;
    return ns < (double)INT64_MAX ? (uint64_t)ns : INT64_MAX;
}

static int shortest_first(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    if (x->ns != y->ns)
        return x->ns < y->ns ? -1 : 1;
    return x->arena < y->arena ? -1 : x->arena > y->arena;
}

size_t hw_schedule(const struct hw_report *now, struct hw_report *earlier, unsigned *arenas,
                   size_t count, int64_t left_ns)
{
    hw_autofree struct job *jobs = calloc(count + 1, sizeof *jobs);
    uint64_t left = left_ns > 0 ? (uint64_t)left_ns : 0;
    if (!jobs) /* then as they are */
        return count;
    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct job){arenas[i], hw_schedule_ns(now, earlier, arenas[i])};
    qsort(jobs, count, sizeof *jobs, shortest_first);
    size_t fit = 0;
    for (size_t i = 0; i < count; i++) {
        arenas[i] = jobs[i].arena;
        if (fit == i && jobs[i].ns <= left) {
            left -= jobs[i].ns;
            fit++;
        }
    }
    return fit;
}
