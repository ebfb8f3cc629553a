#include "base/size.h"

#include <inttypes.h>
#include <string.h>

enum { EXBI = 6 };

struct unit {
    unsigned rank; /* 0: bytes, 1: KiB, ... */
    unsigned scale, decimals;
};

/* `bytes` in 1 / scale of a unit, rounded down, and what is left over, in bytes. Whole units and
 * the rest apart, for scale * bytes may not fit. */
static uint64_t in_unit(uint64_t bytes, struct unit unit, uint64_t *rest)
{
    unsigned shift = 10 * unit.rank;
    if (unit.rank == EXBI) { /* nor does scale * 2^60 */
        bytes >>= 10;
        shift -= 10;
    }
    uint64_t mask = (UINT64_C(1) << shift) - 1, below = (bytes & mask) * unit.scale;
    *rest = below & mask;
    return (bytes >> shift) * unit.scale + (below >> shift);
}

static uint64_t nearest(uint64_t bytes, struct unit unit)
{
    uint64_t rest, n = in_unit(bytes, unit, &rest);
    unsigned shift = unit.rank == EXBI ? 50 : 10 * unit.rank;
    return n + (shift ? rest >> (shift - 1) : 0);
}

/* Judged after rounding, so that there is never a "1024.0 KiB" or a "10.00 KiB". */
static struct unit unit_of(uint64_t bytes)
{
    if (bytes < 1024)
        return (struct unit){0, 1, 0};
    for (unsigned rank = 1;; rank++) {
        struct unit fine = {rank, 100, 2}, coarse = {rank, 10, 1};
        if (nearest(bytes, fine) < 1000)
            return fine;
        if (rank == EXBI || nearest(bytes, coarse) < 10240)
            return coarse;
    }
}

static void put(char buf[HW_SIZE_TEXT], uint64_t n, struct unit unit, const char *tail)
{
    if (unit.decimals)
        snprintf(buf, HW_SIZE_TEXT, "%" PRIu64 ".%0*u%s", n / unit.scale, (int)unit.decimals,
                 (unsigned)(n % unit.scale), tail);
    else
        snprintf(buf, HW_SIZE_TEXT, "%" PRIu64 "%s", n, tail);
}

char *hw_format_size(char buf[HW_SIZE_TEXT], uint64_t bytes, bool exact)
{
    static const char *const names[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    struct unit unit = unit_of(bytes);
    if (exact)
        snprintf(buf, HW_SIZE_TEXT, "%" PRIu64, bytes);
    else
        put(buf, nearest(bytes, unit), unit, names[unit.rank]);
    return buf;
}

char *hw_compact_size(char *size)
{
    char *blank = strchr(size, ' ');
    if (blank) {
        blank[0] = blank[1];
        blank[1] = '\0';
    }
    return size;
}

/* Every part is rounded down; what is missing then goes to those that lost most. */
uint64_t hw_format_parts(char (*buf)[HW_SIZE_TEXT], const uint64_t *parts, size_t count, bool exact)
{
    uint64_t sum = 0, n[HW_PARTS_MAX], lost[HW_PARTS_MAX];
    for (size_t i = 0; i < count; i++)
        sum += parts[i];
    struct unit unit = exact ? (struct unit){0, 1, 0} : unit_of(sum);
    uint64_t missing = nearest(sum, unit);
    for (size_t i = 0; i < count; i++) {
        n[i] = in_unit(parts[i], unit, &lost[i]);
        missing -= n[i];
    }
    for (size_t round = 0; round < count && missing; round++, missing--) {
        size_t most = 0;
        for (size_t i = 1; i < count; i++)
            if (lost[i] > lost[most])
                most = i;
        n[most]++;
        lost[most] = 0;
    }
    for (size_t i = 0; i < count; i++)
        put(buf[i], n[i], unit, "");
    return sum;
}

bool hw_is_zero_text(const char *number)
{
    return number[strspn(number, "0.")] == '\0';
}
