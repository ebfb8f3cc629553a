/*
 * A heap whose roots and layout are given.
 */
#include "heap.h"

static void run(const uint8_t *bytes, size_t len)
{
    struct heap h;
    heap_make(&h, bytes, len);
    struct glibc g = builder_backend(h.builder, h.target);
    struct hw_session s = {
        .image.target = h.target, .allocator = &hw_allocator_glibc, .backend = &g};
    fuzz_require(hw_modules_open(h.target, NULL, &s.image.modules, NULL) == HW_OK, "no modules");
    g.image = s.image;
    fuzz_inspect(&s, h.extras);
    hw_allocator_glibc.busy(&g);
    hw_layout_deinit(&g.layout);
    hw_modules_close(s.image.modules);
    heap_free(&h);
}

const struct fuzzer fuzz_walk = {"walk", run};
