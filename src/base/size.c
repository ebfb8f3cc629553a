#include "base/size.h"

#include <inttypes.h>

char *hw_format_size(char buf[HW_SIZE_TEXT], uint64_t bytes, bool exact)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    enum { UNITS = sizeof units / sizeof *units };

    if (exact) {
        snprintf(buf, HW_SIZE_TEXT, "%" PRIu64, bytes);
        return buf;
    }
    if (bytes < 1024) {
        snprintf(buf, HW_SIZE_TEXT, "%" PRIu64 " B", bytes);
        return buf;
    }
    for (unsigned i = 0;; i++) {
        unsigned shift = 10 * (i + 1);
        uint64_t mask = (UINT64_C(1) << shift) - 1;
        /* Whole units and the rest apart: 10 * 2^60 still fits 64 bits, 10 * bytes would not. */
        uint64_t tenths =
            (bytes >> shift) * 10 + (((bytes & mask) * 10 + (UINT64_C(1) << (shift - 1))) >> shift);
        /* Judged after rounding, so that there is never a "1024.0 KiB". */
        if (tenths < 10240 || i + 1 == UNITS) {
            snprintf(buf, HW_SIZE_TEXT, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                     units[i]);
            return buf;
        }
    }
}
