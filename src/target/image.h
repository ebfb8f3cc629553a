/*
 * What the kinds of target share among themselves; not for the layers above.
 */
#ifndef HW_TARGET_IMAGE_H
#define HW_TARGET_IMAGE_H

#include "base/vec.h"
#include "target/target.h"

typedef HW_VEC(struct hw_map) hw_map_vec;
typedef HW_VEC(struct hw_thread) hw_thread_vec;

/* Release the maps (with their paths) / the threads of `t`, and leave it with none. */
void hw_target_drop_maps(struct hw_target *t);
void hw_target_drop_threads(struct hw_target *t);

/* Give `t` other maps / threads; the old ones are released, the vector is left empty. Maps must be
 * sorted and disjoint; threads are sorted here, by tid. */
void hw_target_take_maps(struct hw_target *t, hw_map_vec *maps);
void hw_target_take_threads(struct hw_target *t, hw_thread_vec *threads);

/* Release a vector of maps that no target owns, with the paths. */
void hw_map_vec_free(hw_map_vec *maps);

/* Replace what would upset a terminal (a process chooses its own name) by '?'. */
void hw_clean_name(char *name);

/*
 * What an ELF header says the file was made for. `header` holds the first HW_ELF_START bytes of an
 * ELF file.
 */
#define HW_ELF_START 20
/* NULL if heapwalk cannot read that. */
const struct hw_machine *hw_elf_machine(const unsigned char *header);
/* For a message, such as "32-bit process (arm)". */
void hw_elf_describe(const unsigned char *header, char *buf, size_t size);

#endif
