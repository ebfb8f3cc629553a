/*
 * unused asked|unasked: never calls malloc(). Asked, the allocator has at least initialized itself
 * to say so; unasked, nothing ever touched it.
 */
#include "victim.h"

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    if (victim_is(0, "unasked"))
        victim_ready_unasked();
    victim_ready();
}
