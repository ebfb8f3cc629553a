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

#include "target/machine.h"

enum chunk_flag { CHUNK_P = 1, CHUNK_M = 2, CHUNK_A = 4, CHUNK_FLAGS = 7 };

/*
 * Sizes that follow from the machine (malloc/malloc-internal.h):
 *
 *                       word  alignment  MINSIZE  chunks begin at
 *     64-bit               8         16       32  multiples of 16
 *     i386 since 2.26      4         16       16  multiples of 16, + 8
 *     i386 until 2.25      4          8       16  multiples of 8
 */
struct chunk_rules {
    unsigned word;      /* SIZE_SZ */
    unsigned alignment; /* MALLOC_ALIGNMENT, of sizes and of user pointers */
    unsigned min_size;  /* MINSIZE */
    unsigned header;    /* CHUNK_HDR_SZ, 2 * word */
};

static inline struct chunk_rules chunk_rules(unsigned word, unsigned alignment)
{
    return (struct chunk_rules){
        .word = word, .alignment = alignment, .min_size = 4 * word, .header = 2 * word};
}

struct chunk_header {
    uint64_t prev_size; /* valid only where P is clear */
    uint64_t raw;       /* the size word, flags included */
};

/* Decode two words of a little-endian target: a header, or a pair of links. */
static inline struct chunk_header chunk_decode(const struct chunk_rules *r, const uint8_t *bytes)
{
    return (struct chunk_header){hw_word(bytes, r->word), hw_word(bytes + r->word, r->word)};
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

/* Where the last header of a thread heap stands, that of size 0, if the heap ends at `end` and was
 * closed: in the last MINSIZE bytes that are aligned as chunks are (heap_trim in
 * malloc/arena.c). */
static inline hw_addr chunk_last_fence(const struct chunk_rules *r, hw_addr end)
{
    return hw_align_down(end - (r->min_size - r->header), r->alignment);
}

/* Index of the bin, 2..126, that holds free chunks of `size` (glibc's bin_index). */
unsigned chunk_bin_index(const struct chunk_rules *r, uint64_t size);

/* Index of the fastbin for `size`. */
static inline unsigned chunk_fast_index(const struct chunk_rules *r, uint64_t size)
{
    return (unsigned)(size >> (r->word == 8 ? 4 : 3)) - 2;
}

#endif
