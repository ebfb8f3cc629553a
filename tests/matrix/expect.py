"""What is run under which libc, and what the libc itself keeps in the heaps of those victims.

A libc's own chunks, exactly:

    one dtv for each thread but the first; a thread of a fork()'s child takes over the stack and the
        dtv of one that is gone, but not in 2.43
    one tcache for each thread that has one: up to 2.41 every thread that called malloc() or free(),
        in 2.43 only those whose free() put something in it
    what the tcaches of threads that a fork() left behind held
    in a static program what its part of the loader allocates before main()
"""

from dataclasses import dataclass, replace

from cases import CASES, Case
from libcs import DETACHED

NEWEST = (2, 43)  # the first where tcaches are made late and more fits in them
# _dl_non_dynamic_init() of 2.36: the program's directory, the link_map of the vdso, two for search
# paths, one for unwinding. Under the emulator there is no vdso.
BEFORE_MAIN, BEFORE_MAIN_EMULATED = 5, 4
# Where gdb's gcore may lose the stacks of threads: see check_lost_stacks().
GUARDS = "guards"


@dataclass(frozen=True)
class Own:
    """Threads with a dtv; those that allocate; those with something in their tcache; those that
    take over another's dtv; chunks that are lost in tcaches of threads that are gone."""

    dtvs: int
    users: int
    cachers: int
    heirs: int = 0
    lost: int = 0

    def chunks(self, libc):
        if libc.version >= NEWEST:
            return self.dtvs + self.cachers + self.heirs + self.lost
        if libc.static:  # the first thread allocates in any case
            before = BEFORE_MAIN_EMULATED if libc.machine.emulator else BEFORE_MAIN
            return self.dtvs + max(1, self.users) + self.lost + before
        return self.dtvs + self.users + self.lost


OWN = {
    "many-threads": Own(40, 41, 40),
    "many-threads-one-arena": Own(40, 41, 40),
    "many-threads-perturb": Own(12, 13, 12),
    "big-arenas": Own(2, 3, 0),
    "mmapped-fixed": Own(0, 1, 0),
    "mmapped-dynamic": Own(0, 1, 0),
    "unused-asked": Own(0, 0, 0),
    "tcache-full": Own(1, 2, 2),
    "tcache-none": Own(1, 2, 0),
    "tcache-100": Own(1, 2, 2),
    "tcache-over": Own(1, 2, 2),
    GUARDS: Own(1, 2, 2),
    "fork-child": Own(8, 1 + 8 + 1, 8 + 1, heirs=1, lost=8 * 5),
    "mixed": Own(1, 2, 2),
    "mixed-no-mmap": Own(1, 2, 2),
    "fastbins": Own(2, 3, 2),
    "fastbins-more": Own(2, 3, 2),
    "long-lists": Own(1, 2, 2),
    "bins": Own(1, 2, 2),
    "own-stack-chunk": Own(1, 1, 0),
    "own-stack-region": Own(1, 1, 0),
}
ONE_THREAD = Own(0, 1, 1)

# Run under every libc; all the others under one.
EVERYWHERE = (
    "bins", "many-threads", "mmapped-fixed", "mmapped-dynamic", "big-arenas",
    "foreign-sbrk-odd-junk", "foreign-sbrk-first-zero", "blocked-brk", "tcache-full",
    "tcache-none", "tcache-over", "fastbins", "long-lists", "mixed", "unused-asked", "fork-child",
    GUARDS,
)
ALL_CASES_UNDER = ("bookworm", "bookworm-i386")
# Under one libc of each machine where cores are slow to write: heaps of 64 MiB each.
LARGE, LARGE_UNDER = ("big-arenas", "long-lists"), "bookworm-arm64"
# In another root all else is as outside of it.
CHROOT_CASES = ("many-threads", "mmapped-fixed", "mixed")
# Where pointers have tags, chunks are larger than some victims think.
TAGGED_CASES = ("many-threads", "mmapped-fixed", "mixed", "bins", "fastbins", "unused-asked")
# qemu-user fails now and then when a process with threads calls fork().
NOT_EMULATED = ("fork-child",)
# Where only a debug file is there, all else is as with the libc itself: some cases will do.
DETACHED_CASES = ("many-threads", "tcache-full", "mmapped-fixed", "fork-child")

# What a sample takes: these, and of those that are run everywhere each so many-th.
ALWAYS, STRIDE = ("many-threads",), 5


def is_extra(case):
    return case.name not in EVERYWHERE


def variants_of(libc, case):
    return [v for v in libc.variants if v != DETACHED or case.name in DETACHED_CASES]


def cases_of(libc):
    """The cases of a row, with what is to be expected under this libc."""
    count = 7 if libc.version < NEWEST else 16  # chunks of each size in a tcache
    cases = [*CASES, Case("tcache-over", "tcache", (count + 13, count)),
             Case(GUARDS, "tcache", (7, 7), {"VICTIM_GUARDS": "1"})]
    wanted = [c for c in cases if libc.name in ALL_CASES_UNDER or not is_extra(c)]
    if libc.chroot:
        wanted = [c for c in wanted if c.name in CHROOT_CASES]
    if libc.tunables:
        wanted = [c for c in wanted if c.name in TAGGED_CASES]
    if libc.machine.emulator:
        wanted = [c for c in wanted if c.name not in NOT_EMULATED and
                  (c.name not in LARGE or libc.name == LARGE_UNDER)]
    return [replace(c, foreign=OWN.get(c.name, ONE_THREAD).chunks(libc))
            for c in wanted]


def sample_of(libc, number):
    """Some of them: enough for every variant and mode, and other ones in the next row; all of them
    in any so many rows, one after the other."""
    cases = [c for c in cases_of(libc) if not is_extra(c)]
    return [c for i, c in enumerate(cases) if c.name in ALWAYS or i % STRIDE == number % STRIDE]
