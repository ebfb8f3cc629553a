/*
 * setuid: a program that got its rights from its file. It is dumped all the same, because it says
 * so: what the administrator may allow for all (fs.suid_dumpable), it asks for itself.
 */
#include "victim.h"

#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    if (getauxval(AT_SECURE) == 0 || getuid() == geteuid())
        victim_die("it is not setuid");
    if (prctl(PR_SET_DUMPABLE, 1) != 0)
        victim_die("prctl");
    void *p[500];
    uint64_t rng = 3;
    for (unsigned i = 0; i < 500; i++)
        p[i] = victim_malloc(victim_between(&rng, 1, 3000));
    for (unsigned i = 0; i < 500; i += 2)
        victim_free(p[i]);
    victim_ready();
}
