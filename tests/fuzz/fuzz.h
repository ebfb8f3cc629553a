/*
 * Fuzzers. Each takes any bytes, makes of them what heapwalk might meet, asks everything about it,
 * and aborts where an answer cannot be right; whoever runs it (libFuzzer, AFL++, replay.c) sees
 * that, and what the sanitizers see.
 *
 *     core     a core file: headers, notes, segments, and the whole report      bytes: the file
 *     walk     a heap whose roots are known: the walk and all analyses          bytes: see heap.h
 *     roots    the same heaps, whose roots have to be found                     bytes: see heap.h
 *     debug    the file of a libc, its symbols and types                        bytes: the file
 *     unpack   a compressed core                                                bytes: the file
 *     report   two reports as JSON, compared (--diff)                           bytes: the files
 *
 * To add one: a file here with its struct fuzzer last, one line in FUZZERS below, its seeds in
 * seeds.py. What was found once lies in fixtures/NAME and is replayed by `make check`.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "inspect/session.h"

#include <stddef.h>
#include <stdint.h>

struct fuzzer {
    const char *name;
    void (*run)(const uint8_t *bytes, size_t len);
};

#define FUZZERS(X)          X(core) X(walk) X(roots) X(debug) X(unpack) X(report)
#define FUZZ_DECLARE_(name) extern const struct fuzzer fuzz_##name;
FUZZERS(FUZZ_DECLARE_)
#undef FUZZ_DECLARE_

/* Say what is wrong and abort, unless `ok`. */
#define fuzz_require(ok, ...) ((ok) ? (void)0 : fuzz_fail(__VA_ARGS__))
_Noreturn void fuzz_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A file that lasts as long as the process and holds these bytes: its path, static. There is one at
 * a time; its last component is libc.so.6. */
const char *fuzz_file(const uint8_t *bytes, size_t len);

/* ---- check.c -------------------------------------------------------------------------------- */

/* What is asked of a session besides a report. */
enum fuzz_extra {
    FUZZ_BINS = 1,    /* in which bin each chunk is */
    FUZZ_LISTS = 2,   /* what malloc_info(3) would print */
    FUZZ_HOLES = 4,   /* the largest holes, with samples */
    FUZZ_WHATIS = 8,  /* what some addresses are */
    FUZZ_CHUNKS = 16, /* every chunk, in all formats */
    FUZZ_CHECK = 32,  /* all invariants, and what stands where one does not hold */
    FUZZ_EXTRAS_ = 64,
    FUZZ_CHANGES = 64, /* said by the fuzzer: the next walk may meet another image */
};

/*
 * Walk, ask for these extras, render everything, and require what holds for any heap however
 * damaged: parts sum up to the whole, blocks do not overlap and lie in the image, nothing is larger
 * than the image, nothing is negative, what is missing is named, JSON is JSON. HW_OK if there was a
 * report.
 */
int fuzz_inspect(struct hw_session *s, unsigned extras);

#endif
