/*
 * A core file.
 */
#include "fuzz.h"

#include "target/target.h"

#include <inttypes.h>

static void check_maps(struct hw_target *t)
{
    hw_addr told = 0;
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *m = &t->maps[i];
        fuzz_require(told <= m->start && m->start < m->end, "map %zu is out of order", i);
        fuzz_require(hw_map_at(t, m->start) == m && hw_map_at(t, m->end - 1) == m,
                     "map %zu is not found", i);
        told = m->end;
    }
    for (size_t i = 1; i < t->thread_count; i++)
        fuzz_require(t->threads[i - 1].tid < t->threads[i].tid, "thread %zu is out of order", i);
}

/* At the ends of maps, where arithmetic goes wrong if it does. */
static void read_maps(struct hw_target *t)
{
    uint8_t buf[300];
    for (size_t i = 0; i < t->map_count && i < 64; i++) {
        const struct hw_map *m = &t->maps[i];
        uint64_t word, budget = 1000;
        ssize_t n = hw_read(t, m->start, buf, sizeof buf, NULL);
        fuzz_require(n >= 0 && n <= (ssize_t)sizeof buf, "%zd bytes were read", n);
        hw_read(t, m->end - 8, buf, sizeof buf, NULL);
        hw_read(t, m->start + (m->end - m->start) / 2, buf, sizeof buf, NULL);
        hw_read_word(t, m->start - 4, &word, NULL);
        hw_addr data = hw_next_data(t, m->start, m->end, &budget);
        fuzz_require(data >= m->start && data <= m->end, "data at %#" PRIx64, data);
    }
}

static void run(const uint8_t *bytes, size_t len)
{
    const char *path = fuzz_file(bytes, len);
    struct hw_error err = {0};
    struct hw_target *t;
    struct hw_session *s;
    int rc = hw_target_open_core(path, &t, &err);
    if (rc != HW_OK) {
        fuzz_require(!t && err.code == rc && err.text[0], "no target, and no reason");
        return;
    }
    check_maps(t);
    read_maps(t);
    hw_target_close(t);
    rc = hw_open_core(path, &(struct hw_options){.read_alone = true}, &s, &err);
    if (rc == HW_OK)
        fuzz_inspect(s, len % FUZZ_EXTRAS_);
    hw_close(s);
}

const struct fuzzer fuzz_core = {"core", run};
