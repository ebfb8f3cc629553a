#include "alloc/allocator.h"
#include "alloc/glibc/glibc.h"

static const struct hw_allocator *const allocators[] = {&hw_allocator_glibc, NULL};

const struct hw_allocator *hw_allocator_detect(const struct hw_image *image)
{
    for (size_t i = 0; allocators[i]; i++)
        if (allocators[i]->detect(image))
            return allocators[i];
    return NULL;
}
