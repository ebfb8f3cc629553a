#include "alloc/foreign_rules.h"

const struct hw_foreign_rule hw_foreign_rules[] = {
    {
        .name = "jemalloc",
        .heap = "jemalloc",
        .files = {"*/libjemalloc.so*"},
        /* Rust's crates give it the prefix _rjem_, others je_. */
        .symbols = {"mallctl", "je_mallctl", "je_malloc", "_rjem_mallctl", "_rjem_malloc"},
        .marker = "<jemalloc>: ",
        .version = "^([0-9]+[.][0-9]+[.][0-9]+)-[0-9]+-g[0-9a-f]{40}",
    },
    {
        .name = "mimalloc", /* its version is in code, not in a text: foreign.c */
        .heap = "mimalloc",
        .files = {"*/libmimalloc.so*", "*/libmimalloc-*.so*"},
        .symbols = {"mi_malloc", "mi_version"},
        .marker = "mimalloc: warning: ",
    },
    {
        .name = "tcmalloc",
        .heap = "tcmalloc",
        .files = {"*/libtcmalloc.so*", "*/libtcmalloc_*.so*"},
        /* gperftools'; Google's newer one, which has no versions. */
        .symbols = {"tc_malloc", "TCMalloc_SystemAlloc", "TCMallocInternalMalloc"},
        .marker = "TCMALLOC_",
        .version = "^gperftools ([0-9]+[.][0-9.]+)",
    },
    {
        .name = "AddressSanitizer",
        .heap = "AddressSanitizer",
        .files = {"*/libasan.so*", "*/libclang_rt.asan*.so*"},
        .symbols = {"__asan_init"},
    },
    {
        .name = "HWAddressSanitizer",
        .heap = "HWAddressSanitizer",
        .files = {"*/libhwasan.so*", "*/libclang_rt.hwasan*.so*"},
        .symbols = {"__hwasan_init"},
    },
    {
        .name = "ThreadSanitizer",
        .heap = "ThreadSanitizer",
        .files = {"*/libtsan.so*", "*/libclang_rt.tsan*.so*"},
        .symbols = {"__tsan_init"},
    },
    {
        .name = "MemorySanitizer",
        .heap = "MemorySanitizer",
        .files = {NULL},
        .symbols = {"__msan_init"},
    },
    {
        .name = "LeakSanitizer",
        .heap = "LeakSanitizer",
        .files = {"*/liblsan.so*"},
        .symbols = {"__lsan_init"},
    },
    {
        /* Tools that replace malloc have a vgpreload file of their own; vgpreload_core is in all,
         * callgrind and cachegrind have none and leave malloc alone. */
        .name = "valgrind",
        .heap = "valgrind",
        .role = HW_FOREIGN_MACHINE,
        .files = {"*/vgpreload_[!c]*.so"},
    },
    {
        .name = "Go",
        .heap = "Go's runtime",
        .role = HW_FOREIGN_RUNTIME,
        .symbols = {"runtime.mallocgc"},
        .marker = "runtime.mallocgc", /* in the table of functions, which is never stripped */
    },
    {
        .name = "musl",
        .heap = "musl's malloc",
        .role = HW_FOREIGN_LIBC,
        .files = {"*/ld-musl-*.so.1", "*-linux-musl/libc.so", "*/musl/lib/libc.so"},
        .symbols = {"__malloc_context", "__malloc_donate", "__libc_malloc_impl"},
        .marker = "musl libc",
        .version = "^([0-9]+[.][0-9]+[.][0-9]+)$",
    },
    {
        .name = "bionic",
        .heap = "bionic's malloc",
        .role = HW_FOREIGN_LIBC,
        .files = {"*/bionic/libc.so", "/system/lib*/libc.so", "*/bin/linker*"},
        .symbols = {"__libc_init_malloc", "android_mallopt"},
    },
    {
        /* Since 2.34: what MALLOC_CHECK_ and mtrace() need, a malloc with arenas of its own. */
        .name = "glibc",
        .heap = "glibc's malloc for debugging",
        .role = HW_FOREIGN_GLIBC,
        .files = {"*/libc_malloc_debug.so*"},
    },
    {
        .name = "glibc",
        .heap = "another copy of glibc's malloc",
        .role = HW_FOREIGN_GLIBC,
        .files = {"*/libc.so.6", "*/libc-2.[0-9]*.so"},
        .marker = "malloc(): corrupted top size", /* linked statically */
        .version = "^GNU C Library .*release version ([0-9]+[.][0-9]+)",
    },
    {0},
};
