"""Which victims are run, how, and what their heaps hold besides their own blocks."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    name: str
    victim: str
    args: tuple = ()
    env: dict = field(default_factory=dict)
    # In-use chunks that are not the victim's: one tcache per thread that freed or allocated
    # anything, one dtv per thread but the first. Exactly so many.
    foreign: int = 1


def tunables(*settings):
    return {"GLIBC_TUNABLES": ":".join("glibc.malloc." + s for s in settings)}


CASES = [
    Case("all-but-last", "all-but-last"),
    Case("all-but-last-small", "all-but-last", (50000, 100)),
    Case("all-but-first", "all-but-first"),
    Case("all-but-first-backwards", "all-but-first", (20000, 1024, "backwards")),
    Case("every-other", "every-other"),
    Case("every-other-small", "every-other", (100000, 40)),
    Case("every-other-large", "every-other", (1000, 100000)),
    Case("many-threads", "many-threads", (), foreign=1 + 2 * 40),
    Case("many-threads-one-arena", "many-threads", (), {"MALLOC_ARENA_MAX": "1"}, 1 + 2 * 40),
    Case("many-threads-perturb", "many-threads", (12,), {"MALLOC_PERTURB_": "165"}, 1 + 2 * 12),
    Case("big-arenas", "big-arenas", foreign=1 + 2 * 2),
    Case("mmapped-fixed", "mmapped", ("fixed",)),
    Case("mmapped-dynamic", "mmapped", ("dynamic",)),
    Case("foreign-sbrk-aligned-zero", "foreign-sbrk", (65536, "zero")),
    Case("foreign-sbrk-aligned-junk", "foreign-sbrk", (65536, "junk")),
    Case("foreign-sbrk-odd-zero", "foreign-sbrk", (70001, "zero")),
    Case("foreign-sbrk-odd-junk", "foreign-sbrk", (70001, "junk")),
    Case("foreign-sbrk-first-zero", "foreign-sbrk", (70001, "zero", "first")),
    Case("foreign-sbrk-first-junk", "foreign-sbrk", (70001, "junk", "first")),
    Case("foreign-sbrk-tiny", "foreign-sbrk", (1, "junk", "first")),
    Case("blocked-brk", "blocked-brk"),
    Case("unused-asked", "unused", ("asked",), foreign=0),
    Case("tcache-full", "tcache", (7, 7), foreign=3),
    Case("tcache-none", "tcache", (7, 0), tunables("tcache_count=0"), foreign=3),
    Case("tcache-100", "tcache", (120, 100), tunables("tcache_count=100"), foreign=3),
    Case("fork-child", "fork-child", foreign=1 + 8 * 2 + 8 * 5 + 1),
    Case("mixed", "mixed", foreign=3),
    Case("mixed-no-mmap", "mixed", (), tunables("mmap_max=0"), foreign=3),
    Case("fastbins", "fastbins", foreign=1 + 2 * 2),
    Case("fastbins-more", "fastbins", (30, 160), tunables("mxfast=160"), foreign=1 + 2 * 2),
    Case("long-lists", "long-lists", foreign=3),
    Case("bins", "bins", foreign=3),
    Case("pinned-top", "pinned-top"),
    Case("split-chunks", "split-mappings", ("chunks",)),
    Case("split-top", "split-mappings", ("top",)),
    Case("sealed", "split-mappings", ("sealed",)),
    Case("regions-low", "regions", ("low",)),
    Case("regions-imitated", "regions", ("imitated",)),
    Case("regions-split", "regions", ("split",)),
    # No huge pages are set aside: the main arena falls back to mappings, the first one included.
    Case("regions-hugetlb", "every-other", (2000, 1000), tunables("hugetlb=2")),
    Case("own-stack-chunk", "own-stack", ("chunk",), foreign=2),
    Case("own-stack-region", "own-stack", ("region",), foreign=2),
    Case("second-libc-data", "second-libc", ("data",)),
    Case("second-libc-namesake", "second-libc", ("namesake",)),
    Case("gap-of-words", "gap-of-words", (4 << 20, 33)),
]
