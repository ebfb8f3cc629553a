/*
 * What every victim shares. A victim builds one known heap, lets the allocator itself describe it,
 * writes down which blocks it holds, says "ready" and sleeps for ever: its own oracle.
 *
 *     int main(int argc, char **argv)
 *     {
 *         victim_start(argc, argv);              argv[1]: directory for the oracle's files
 *         void *p = victim_malloc(100);
 *         ...
 *         victim_ready();                        never returns
 *     }
 *
 * Nothing in here uses the heap: the list of blocks has a mapping of its own, files are written
 * with write(2), stdout and stderr have static buffers. So a victim's heap holds the victim's
 * blocks, what the C library keeps for its threads (a tcache each, a dtv for each but the first),
 * and nothing else.
 *
 * While it sleeps it reads orders from stdin, a letter each:
 *
 *     t    malloc_trim(0); answers its result, then RssAnon and VmSwap before and after, in KiB:
 *          "RESULT RSS_BEFORE RSS_AFTER SWAP_BEFORE SWAP_AFTER"
 *     f    free the blocks of victim_let_go(); answers RssAnon before and after: "BEFORE AFTER"
 *     g    do what was given to victim_obey(); answers the numbers that this tells
 *
 * Files: mallinfo2.txt ("field value"), malloc_info.xml, malloc_stats.txt,
 * blocks.txt ("pointer requested usable", hex and decimal), expect.txt ("word value ...").
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* glibc's own measures, by the machine that the victim is compiled for. */
#define VICTIM_WORD     sizeof(size_t)
#define VICTIM_HEADER   (2 * VICTIM_WORD) /* in front of the pointer that the program has */
#define VICTIM_LEAST    (4 * VICTIM_WORD) /* the smallest chunk */
#define VICTIM_ALIGN    ((size_t)16)
#define VICTIM_HEAP_MAX ((size_t)(VICTIM_WORD == 8 ? 64 : 1) << 20) /* heaps of thread arenas */

/* Call first. The victim dies with its parent. */
void victim_start(int argc, char **argv);

/* The victim's own arguments: argv[2] is number 0. A size, or a word compared with `word`. */
size_t victim_number(int i, size_t otherwise);
int victim_is(int i, const char *word);

/* Room for so many live blocks instead of 65536; before the first of them. */
void victim_reserve(size_t blocks);

/* As their namesakes, and noted in the list of live blocks. Any thread. They never return NULL. */
void *victim_malloc(size_t size);
void *victim_calloc(size_t size);
void *victim_memalign(size_t align, size_t size);
void *victim_realloc(void *p, size_t size);
void victim_free(void *p);

/* A live block that the order "f" is going to free. It stays in the list of live blocks. */
void victim_let_go(void *p);

/* For the order "g": writes its answer, numbers with blanks between, no newline. */
#define VICTIM_ANSWER 256
void victim_obey(void (*grow)(char answer[VICTIM_ANSWER]));

/* True if the C library that runs, not the one compiled against, is this version or a later one. */
int victim_libc_since(unsigned major, unsigned minor);

/* What a chunk with a mapping of its own has beyond its usable bytes. */
size_t victim_mmapped_cost(void);

/* mallopt(M_MMAP_THRESHOLD), or as much of it as every version and machine takes. */
void victim_mmap_threshold(size_t bytes);

/* Add a line to expect.txt. */
void victim_expect(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* xorshift64*: the same numbers in every run. `*state` must not be 0. */
uint64_t victim_random(uint64_t *state);
/* lo <= result <= hi */
size_t victim_between(uint64_t *state, size_t lo, size_t hi);

/* A thread with a small stack; with guard pages only if VICTIM_GUARDS is in the environment. */
pthread_t victim_thread(void *(*run)(void *), void *arg);
/* The last thing a thread does: sleep for ever. */
_Noreturn void *victim_park(void);
/* Wait until so many threads are parked. */
void victim_wait_parked(unsigned threads);

/* After fork(), in the child: the child is the victim now. */
void victim_is_child(void);

/* Write everything down, say "ready", sleep for ever. All threads must be parked. */
_Noreturn void victim_ready(void);
/* The two halves of that: what is written down is the heap as it was before it got damaged. */
void victim_note_down(void);
_Noreturn void victim_ready_noted(void);
/* As above, but without asking the allocator anything: it is not even initialized. */
_Noreturn void victim_ready_unasked(void);

/* Print why and exit with 1. */
_Noreturn void victim_die(const char *why);

#endif
