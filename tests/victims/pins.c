/*
 * pins KIND: much free memory below a few chunks, which the victim names:
 *
 *     main     some MiB free below two chunks in use, the second of which has a little of its own
 *     tcache   the same below one chunk in use and one in a tcache
 *     thread   a thread arena of two heaps, all free but for a chunk at the start and a chunk at
 *              the end of the last one
 *     moved    as main, but somebody else took memory behind top, so nothing ever goes back by
 *              itself
 *
 * expect.txt: "pin POINTER SYMBOL" for each of them in the order of addresses ("-": no symbol), and
 * "holds BYTES": the free bytes that would join top without them, at least.
 */
#include "victim.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#define HEADER   sizeof(size_t)
#define HEAP_MAX ((uintptr_t)64 << 20)
#define BIG      ((size_t)100000)
#define MANY     ((size_t)200)
#define FEW      ((size_t)10)

/* What C++ makes for `class Foo` with two virtual functions: objects point to the third word. */
extern const void *const _ZTV3Foo[4];
const void *const _ZTV3Foo[4] = {NULL, NULL, victim_start, victim_is};

extern void pinned_callback(void);
void pinned_callback(void)
{
}

static const char secret[] = "do not show me";

static size_t chunk_bytes(void *p)
{
    return malloc_usable_size(p) + HEADER;
}

/* A chunk that is going to be a pin, too large for tcaches and fastbins, and what it begins
 * with. */
static void *make_pin(size_t bytes, const void *first_word, const char *symbol)
{
    char *p = victim_malloc(bytes);
    memset(p, 0, bytes);
    memcpy(p, &first_word, sizeof first_word);
    memcpy(p + sizeof first_word, secret, sizeof secret);
    victim_expect("pin %p %s", (void *)p, symbol);
    victim_let_go(p);
    return p;
}

static void fill(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blocks[i] = memset(victim_malloc(BIG), 1, BIG);
}

static size_t empty(void **blocks, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += chunk_bytes(blocks[i]);
        victim_free(blocks[i]);
    }
    return bytes;
}

static void build_main(int cached)
{
    static void *many[MANY], *few[FEW];
    victim_malloc(5000);
    fill(many, MANY);
    void *small = cached ? victim_malloc(500) : NULL;
    make_pin(2000, _ZTV3Foo + 2, "pins:vtable_for_Foo");
    if (!cached) {
        fill(few, FEW);
        make_pin(3000, (const void *)(uintptr_t)pinned_callback, "pins:pinned_callback");
    }
    size_t bytes = empty(many, MANY);
    if (!cached)
        bytes += empty(few, FEW);
    else
        victim_free(small);
    victim_expect("holds %zu", bytes);
    victim_expect("cached %d", cached);
}

/* Bytes between the end of the block's chunk and the end of its heap. */
static size_t left_behind(const void *block)
{
    uintptr_t chunk_end = (uintptr_t)block + malloc_usable_size((void *)block) - HEADER;
    return HEAP_MAX - chunk_end % HEAP_MAX;
}

static void *run(void *arg)
{
    static void *blocks[2000];
    size_t count = 0;
    void *last = victim_malloc(5000);
    (void)arg;
    while (left_behind(last) > 2 * BIG)
        blocks[count++] = last = victim_malloc(BIG);
    /* The rest of the heap, but for its fence: what follows begins another. */
    blocks[count++] = last = victim_malloc(left_behind(last) - 4 * HEADER - HEADER);
    void *pin = make_pin(1500, NULL, "-");
    if ((uintptr_t)pin / HEAP_MAX == (uintptr_t)last / HEAP_MAX)
        victim_die("the next heap was not opened");
    fill(blocks + count, MANY);
    count += MANY;
    make_pin(2000, _ZTV3Foo + 2, "pins:vtable_for_Foo");
    for (size_t i = 0; i < count; i++)
        memset(blocks[i], 1, BIG < malloc_usable_size(blocks[i]) ? BIG : 1);
    victim_expect("holds %zu", empty(blocks, count));
    victim_expect("cached 0");
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    mallopt(M_MMAP_THRESHOLD, sizeof(size_t) == 8 ? 32 << 20 : 512 << 10);
    mallopt(M_TRIM_THRESHOLD, 128 << 10);
    mallopt(M_TOP_PAD, 0);
    if (victim_is(0, "thread")) {
        victim_malloc(1000);
        victim_thread(run, NULL);
        victim_wait_parked(1);
    } else {
        build_main(victim_is(0, "tcache"));
    }
    if (victim_is(0, "moved") && sbrk(4096) == (void *)-1)
        victim_die("sbrk");
    victim_ready();
}
