/*
 * Chunk headers: what glibc writes in front of every block.
 *
 *     p          p+w           p+2w                         p + size
 *     +----------+-----------+-+----------------------------+----------+-----------
 *     | prev_size| size |AMP | | user data, or fd, bk, ...  | (foot)   | size |AMP
 *     +----------+-----------+-+----------------------------+----------+-----------
 *      ^ belongs to the chunk before, unless that one is free
 *
 * P (1)  the chunk before is in use, or looks so (tcache, fastbin)
 * M (2)  the chunk has a mapping of its own
 * A (4)  it comes from a thread arena; set only on chunks that were handed out
 *
 * So whether a chunk is free is written in the header of the *next* one. Source: malloc/malloc.c,
 * "Chunk representation", the same from glibc 2.17 to 2.43.
 */
#ifndef HW_ALLOC_GLIBC_CHUNK_H
#define HW_ALLOC_GLIBC_CHUNK_H

#include <heapwalk/heapwalk.h>

#include <string.h>

enum chunk_flag { CHUNK_P = 1, CHUNK_M = 2, CHUNK_A = 4, CHUNK_FLAGS = 7 };

/* Sizes that follow from the word size (malloc/malloc-internal.h). */
struct chunk_rules {
    unsigned word;      /* SIZE_SZ */
    unsigned alignment; /* MALLOC_ALIGNMENT */
    unsigned min_size;  /* MINSIZE */
    unsigned header;    /* CHUNK_HDR_SZ, 2 * word */
};

static inline struct chunk_rules chunk_rules_x86_64(void)
{
    return (struct chunk_rules){.word = 8, .alignment = 16, .min_size = 32, .header = 16};
}

struct chunk_header {
    uint64_t prev_size; /* valid only where P is clear */
    uint64_t raw;       /* the size word, flags included */
};

/* Decode 2 * 8 bytes of a 64-bit little-endian target. */
static inline struct chunk_header chunk_decode(const uint8_t *bytes)
{
    struct chunk_header h;
    memcpy(&h.prev_size, bytes, sizeof h.prev_size);
    memcpy(&h.raw, bytes + sizeof h.prev_size, sizeof h.raw);
    return h;
}

static inline uint64_t chunk_size(struct chunk_header h)
{
    return h.raw & ~(uint64_t)CHUNK_FLAGS;
}

/* True if an arena may hold a chunk of this size at `p` that ends by `end`. */
static inline bool chunk_size_fits(const struct chunk_rules *r, uint64_t size, hw_addr p,
                                   hw_addr end)
{
    return size >= r->min_size && (size & (r->alignment - 1)) == 0 && p < end && size <= end - p;
}

static inline uint64_t hw_align_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static inline uint64_t hw_align_down(uint64_t n, uint64_t unit)
{
    return n / unit * unit;
}

/* Where the first chunk of a piece of memory that begins at `start` stands: the user pointer is
 * aligned, not the header. */
static inline hw_addr chunk_first(const struct chunk_rules *r, hw_addr start)
{
    return hw_align_up(start + r->header, r->alignment) - r->header;
}

/* Index of the bin, 2..126, that holds free chunks of `size` (glibc's bin_index). */
unsigned chunk_bin_index(const struct chunk_rules *r, uint64_t size);

/* Index of the fastbin for `size`. */
static inline unsigned chunk_fast_index(const struct chunk_rules *r, uint64_t size)
{
    return (unsigned)(size >> (r->word == 8 ? 4 : 3)) - 2;
}

#endif
