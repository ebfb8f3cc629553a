/*
 * The same heaps, but nothing is known beforehand: roots, layout and thread-local storage have to
 * be found in memory.
 */
#include "heap.h"

static void run(const uint8_t *bytes, size_t len)
{
    struct heap h;
    struct hw_error err = {0};
    heap_make(&h, bytes, len);
    struct hw_session s = {.image.target = h.target, .allocator = &hw_allocator_glibc};
    s.image.roots = h.flags & HEAP_ONE_FINDER ? "scan" : NULL;
    int rc = hw_modules_open(h.target, NULL, &s.image.modules, &err);
    if (rc == HW_OK)
        rc = hw_foreign_find(&s.image, &s.foreign, &err);
    if (rc == HW_OK)
        rc = s.allocator->open(&s.image, &s.backend, &err);
    fuzz_require(rc == HW_OK || (err.code == rc && err.text[0]), "%s for no reason",
                 hw_code_text(rc));
    if (rc == HW_OK)
        fuzz_inspect(&s, h.extras);
    s.allocator->close(s.backend);
    hw_vec_free(&s.foreign);
    hw_modules_close(s.image.modules);
    heap_free(&h);
}

const struct fuzzer fuzz_roots = {"roots", run};
