/*
 * Reports made by hand, for the tests of renderers: what a walk and the analyses would have left.
 * Each call gives a new one, to be destroyed with hw_report_destroy().
 */
#ifndef TEST_TEXT_SAMPLES_H
#define TEST_TEXT_SAMPLES_H

#include "model/model.h"

struct sample {
    const char *name;
    struct hw_report *(*make)(void);
};

/* Ended by a NULL name. */
extern const struct sample samples[];

struct hw_report *sample_one_arena(void);
struct hw_report *sample_many_arenas(void);
struct hw_report *sample_swapped(void);
struct hw_report *sample_core(void);
struct hw_report *sample_partial(void);
struct hw_report *sample_locked(void);
struct hw_report *sample_moved(void);
struct hw_report *sample_hostile(void);

#endif
