"""Each way of finding malloc's roots by itself: what it finds must be what the symbols say.

    symtab        symbol tables             table         libc's initial data, from its file
    disassembly   its code, from its file   scan          memory, and no file

heapwalk is told with --roots to ask only one of them. Reports name main_arena; that mp_ and the
thread-local variables are the same is seen in what was read from there: parameters, the counters of
mmapped chunks, every thread's arena and tcache.
"""

from dataclasses import dataclass

from libcs import NOFILES, STRIPPED, SYMBOLS
from machines import LIVE
from modes import good
from report_checks import check_expectations, check_mallinfo2, check_report, check_threads

# Threads with arenas and tcaches; parameters that are not the default, chunks with mappings.
CASES = ("many-threads", "mmapped-fixed")
# All that depends on where the roots are and how structs are laid out.
SAME = ("params", "mallinfo2", "totals", "histogram", "in_use_histogram", "arenas", "threads",
        "rss")


@dataclass(frozen=True)
class Finder:
    name: str
    variant: str  # of the libc; as little of it as this finder needs

    def layout(self, libc):
        return "dwarf" if self.name == "symtab" and not libc.static else "table"


def finders_of(libc, case, mode):
    """Those that can work on such a target; a row of the matrix has not all variants of a libc."""
    if case.name not in CASES or libc.chroot:
        return []
    least = STRIPPED if STRIPPED in libc.variants else SYMBOLS
    none = NOFILES if mode != LIVE and NOFILES in libc.variants else least
    finders = [Finder("table", least), Finder("scan", none)]
    # A program without any symbol has no named code to begin at.
    if SYMBOLS in libc.variants or not libc.static:
        finders += [Finder("disassembly", least)]
    return [Finder("symtab", SYMBOLS), *finders] if SYMBOLS in libc.variants else finders


def check_alone(t, tool, reference, target, finder, libc, victim, tids):
    """`reference`: heapwalk with symbols, or None where there are none."""
    ran = tool.run("-J", "--roots", finder.name, *target)
    if not good(t, ran):
        return
    report = ran.json()
    check_report(t, report, target[0] == "-p")
    check_mallinfo2(t, report, victim)
    check_expectations(t, report, victim)
    check_threads(t, report, tids)
    t.equal("roots_source", report["allocator"]["roots_source"], finder.name)
    t.equal("layout_source", report["allocator"]["layout_source"], finder.layout(libc))
    if reference:
        check_same(t, finder, report, reference.run("-J", *target))


def check_same(t, finder, report, ran):
    if not good(t, ran):
        return
    want = ran.json()
    t.equal("roots_source of the reference", want["allocator"]["roots_source"], "symtab")
    t.equal("main_arena", report["allocator"]["main_arena"], want["allocator"]["main_arena"])
    if finder.variant == NOFILES:  # where the break is, only the loader's symbols tell
        forget_break(report)
        forget_break(want)
    for name in SAME:
        for where, got, wanted in differences(name, report[name], want[name]):
            t.equal(where, got, wanted)


def differences(where, got, want):
    """(place, value, other value) wherever two parts of reports differ."""
    if isinstance(got, dict) and isinstance(want, dict) and got.keys() == want.keys():
        for key in got:
            yield from differences(f"{where}.{key}", got[key], want[key])
    elif isinstance(got, list) and isinstance(want, list) and len(got) == len(want):
        for i, pair in enumerate(zip(got, want)):
            yield from differences(f"{where}[{i}]", *pair)
    elif got != want:
        yield where, got, want


def forget_break(report):
    for arena in report["arenas"]:
        arena["brk"] = arena["top"]["malloc_trim_bytes"] = None
