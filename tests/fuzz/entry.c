/*
 * What libFuzzer and AFL++ call: a program of one fuzzer. Compiled with -DFUZZER=NAME for each.
 */
#include "fuzz.h"

#ifndef FUZZER
#define FUZZER walk
#endif

#define NAME_(name) fuzz_##name
#define NAME(name)  NAME_(name)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    NAME(FUZZER).run(bytes, len);
    return 0;
}
