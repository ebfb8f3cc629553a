/*
 * A growable array. HW_VEC(T) names a struct { T *data; size_t count, capacity; }; start it from
 * {0}. HW_VEC(int) v = {0}; if (!hw_vec_push(&v, 7)) return hw_fail(err, HW_ERR_NOMEM, "...");
 *     hw_vec_free(&v);
 */
#ifndef HW_BASE_VEC_H
#define HW_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define HW_VEC(T)                                                                                  \
    struct {                                                                                       \
        T *data;                                                                                   \
        size_t count, capacity;                                                                    \
    }

/* `data` moved to where there is room for more than `*capacity` elements; NULL when memory is out.
 */
static inline void *hw_vec_grow_(void *data, size_t *capacity, size_t size)
{
    size_t wanted = *capacity ? *capacity + *capacity / 2 + 1 : 8;
    if (wanted > SIZE_MAX / size)
        return NULL;
    void *p = realloc(data, wanted * size);
    if (p)
        *capacity = wanted;
    return p;
}

/* Append a copy of a value (a struct as a compound literal); false when memory is out. */
#define hw_vec_push(v, ...)                                                                        \
    __extension__({                                                                                \
        void *hw_room_ = (v)->data;                                                                \
        if ((v)->count == (v)->capacity)                                                           \
            hw_room_ = hw_vec_grow_((v)->data, &(v)->capacity, sizeof *(v)->data);                 \
        if (hw_room_) {                                                                            \
            (v)->data = hw_room_;                                                                  \
            (v)->data[(v)->count++] = (__VA_ARGS__);                                               \
        }                                                                                          \
        hw_room_ != NULL;                                                                          \
    })

/* Release the array (not what its elements own) and make it empty. */
#define hw_vec_free(v)                                                                             \
    do {                                                                                           \
        free((v)->data);                                                                           \
        (v)->data = NULL;                                                                          \
        (v)->count = (v)->capacity = 0;                                                            \
    } while (0)

#endif
