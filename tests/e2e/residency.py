"""What is in RAM, and what malloc_trim(0) gives back: predicted, then done by the victim itself."""

import ctypes
import os
from contextlib import contextmanager

import chunk_checks
from cases import Case, tunables
from i386 import compiled
from machine import machine_of
from modes import good
from pagemap import PAGE, Pages, frames_may_be_seen, locked_ranges
from process import Victim, mappings, status_bytes, workplace
from report_checks import check_report, without_volatile
from suite import Skip
from swap import swap_file
from trim_model import Model, fullness

SYS_PROCESS_MADVISE, MADV_PAGEOUT = 440, 21
MORE_ARENAS = {"MALLOC_ARENA_MAX": "80"}
HUGE_PAGES = tunables("hugetlb=1")
TOUCHED = {"MALLOC_PERTURB_": "165"}  # what is handed out is filled, so that all of it is in RAM

CASES = [
    Case("all-but-last", "all-but-last"),
    Case("every-other", "every-other", (), TOUCHED),
    Case("every-other-large", "every-other", (1000, 100000), TOUCHED),
    Case("mixed", "mixed", (), TOUCHED),
    Case("many-threads", "many-threads", (), TOUCHED),
    Case("big-arenas", "big-arenas"),
    Case("big-arenas-touched", "big-arenas", (), TOUCHED),
    Case("foreign-sbrk", "foreign-sbrk", (70001, "junk", "first"), TOUCHED),
    Case("blocked-brk", "blocked-brk", (), TOUCHED),
    Case("regions-split", "regions", ("split",), TOUCHED),
    Case("split-top", "split-mappings", ("top",)),
    Case("idle-arenas", "idle-arenas", (64, 6), MORE_ARENAS),
    Case("fastbins", "fastbins"),
    Case("fork-child", "fork-child", (), TOUCHED),
    Case("top-in-huge-pages", "pages", ("big-top",), HUGE_PAGES),
    *(Case(kind, "pages", (kind,)) for kind in (
        "trimmed", "untouched", "zero", "huge", "locked", "lock-other", "lock-some", "fast-top",
        "big-top", "brk-moved")),
]
ON_32_BITS = ("mixed", "trimmed", "fast-top", "big-top")


# ---- looking -------------------------------------------------------------------------------------


@contextmanager
def obeying(build, case):
    with workplace() as directory:
        with Victim(build, directory, case.victim, case.args, case.env, obeys=True) as victim:
            yield victim


def reported(t, tool, victim):
    ran = tool.run("-J", "-p", victim.pid)
    if not good(t, ran):
        return None
    check_report(t, ran.json(), True)
    return ran.json()


def ranges_of(arena):
    """[(address, bytes)] of its heaps."""
    return [(int(h["address"], 16), h["bytes"]) for h in arena["heaps"]]


def program_break(pid):
    """The end of the heap that brk made, or None."""
    ends = [m.end for m in mappings(pid) if m.path == "[heap]"]
    return ends[-1] if ends else None


class Look:
    """A report, the chunks it is about, and the pages below them, each taken independently."""

    def __init__(self, t, tool, victim):
        # heapwalk touches nothing, but pages are looked at before it all the same.
        listed = chunk_checks.parse(tool.run("--chunks", "-f", "csv", "-p", victim.pid).out)
        self.report = reported(t, tool, victim)
        arenas = self.report["arenas"]
        self.ranges = [r for a in arenas for r in ranges_of(a)]
        self.pages = Pages(victim.pid, self.ranges)
        self.chunks = {a["index"]: [] for a in arenas}
        for c in listed:
            if c.arena is not None:
                self.chunks[c.arena].append(c)
        self.brk = program_break(victim.pid)
        self.locked = locked_ranges(victim.pid)
        # Which part is locked heapwalk does not know, where it is not all. It says so, and what it
        # predicts is the most that may go.
        notes = [f["text"] for f in self.report["findings"]]
        self.at_most = any("some memory is locked" in text for text in notes)
        if self.at_most:
            self.locked = []


# ---- the model against the report ----------------------------------------------------------------


def check_against_model(t, look, unit):
    """Every figure of pages in the report, computed a second time. The pages that would go."""
    goes, swap_goes = set(), set()
    for arena in look.report["arenas"]:
        where = f"arena {arena['index']}"
        chunks = look.chunks[arena["index"]]
        model = Model(chunks, look.pages, look.brk, look.locked, unit,
                      machine_of(look.report).word)
        check_split(t, where, arena, model)
        rows = [row["bytes"] for row in arena["page_fullness"]]
        t.equal(f"{where}: page_fullness", rows, fullness(chunks, look.pages, ranges_of(arena)))
        t.equal(f"{where}: trim_resident_bytes", arena["trim_resident_bytes"],
                len(model.goes) * PAGE)
        t.equal(f"{where}: trim_bytes", arena["trim_bytes"],
                (len(model.goes) + len(model.swap_goes)) * PAGE)
        for why, size in model.stays.items():
            t.equal(f"{where}: stays.{why}", arena["stays"][why + "_bytes"], size)
        goes |= model.goes
        swap_goes |= model.swap_goes
    return goes, swap_goes


def check_split(t, where, arena, model):
    for kind, split in arena["free_by_kind"].items():
        t.equal(f"{where}: {kind}", [*split.values()], model.kinds[kind])
    t.equal(f"{where}: in_use_resident_bytes", arena["in_use_resident_bytes"],
            model.kinds["in use"][0])
    for (start, size), heap in zip(ranges_of(arena), arena["heaps"]):
        t.equal(f"{where}: resident_bytes of a heap", heap["resident_bytes"],
                model.pages.resident(start, size))


# ---- the report against a real malloc_trim() -----------------------------------------------------


def check_drop(t, victim, predicted, at_most=False):
    """Let it happen: RSS and swap shrink by what was predicted. The kernel's counters may lag."""
    _, rss, rss_after, swap, swap_after = victim.order("t")
    dropped = (rss + swap - rss_after - swap_after) << 10
    slack = max(predicted // 100, 128 << 10)
    t.check(dropped - predicted <= slack and (at_most or predicted - dropped <= slack),
            f"{predicted} bytes predicted, {dropped} were freed")
    t.note(f"{predicted >> 10} KiB predicted, {dropped >> 10} KiB freed")


def check_set(t, look, after, goes):
    """Page by page: what was in RAM and is gone, and nothing else."""
    before, left = {*look.pages.present}, {*after.present}
    t.equal("pages that vanished and should not", [*map(hex, sorted(before - left - goes))][:5], [])
    if not look.at_most:
        t.equal("pages that should vanish and did not", [*map(hex, sorted(goes & left))][:5], [])
    new = left - before - {*look.pages.swapped}
    t.equal("pages that came into being", [*map(hex, sorted(new))][:5], [])


def trim_unit(case):
    """The unit of systrim(): glibc asks for huge pages only where the kernel wants to be asked, and
    knows of them since 2.35."""
    version = os.confstr("CS_GNU_LIBC_VERSION").split()[-1]
    if case.env != HUGE_PAGES or [*map(int, version.split("."))] < [2, 35]:
        return PAGE
    with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="utf-8") as f:
        if "[madvise]" not in f.read():
            raise Skip("huge pages are not for those who ask")
    with open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", encoding="utf-8") as f:
        return int(f.read())


def trim(t, tool, case, build=None):
    if not frames_may_be_seen():
        raise Skip("only root sees page frames")
    unit = trim_unit(case)
    with obeying(build or tool.build, case) as victim:
        check_trim(t, tool, victim, unit)


def check_trim(t, tool, victim, unit=PAGE):
    look = Look(t, tool, victim)
    goes, _ = check_against_model(t, look, unit)
    check_drop(t, victim, look.report["totals"]["trim_bytes"], look.at_most)
    check_set(t, look, Pages(victim.pid, look.ranges), goes)
    again = reported(t, tool, victim)
    if again and not look.at_most:
        t.equal("left to trim", again["totals"]["trim_bytes"], 0)


# ---- swap ----------------------------------------------------------------------------------------


def swap_out(pid, start, size):
    """Ask the kernel to swap out pages of another process; how many bytes it did."""
    before, pidfd = status_bytes(pid, "VmSwap"), os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    first = -(-start // PAGE) * PAGE
    iovec = (ctypes.c_void_p * 2)(first, (start + size) // PAGE * PAGE - first)
    done = libc.syscall(SYS_PROCESS_MADVISE, pidfd, iovec, 1, MADV_PAGEOUT, 0)
    os.close(pidfd)
    if done < 0:
        raise Skip(f"process_madvise: {os.strerror(ctypes.get_errno())}")
    return status_bytes(pid, "VmSwap") - before


def swapped(t, tool):
    """What is swapped out is counted apart, would be freed too, and mostly stays where it is."""
    if not frames_may_be_seen():
        raise Skip("only root may swap")
    with swap_file(64 << 20), obeying(tool.build, Case("swapped", "pages", ("drilled",))) as victim:
        heap = ranges_of(reported(t, tool, victim)["arenas"][0])[0]
        out = swap_out(victim.pid, heap[0], heap[1] * 3 // 4)
        if out < 1 << 20:
            raise Skip(f"the kernel swapped out {out} bytes only")
        before = Pages(victim.pid, [heap])
        memory = status_bytes(victim.pid, "RssAnon") + status_bytes(victim.pid, "VmSwap")
        report = reported(t, tool, victim)
        t.equal("swap_bytes", report["rss"]["swap_bytes"], out)
        after = Pages(victim.pid, [heap])
        t.equal("RSS and swap", status_bytes(victim.pid, "RssAnon") + status_bytes(victim.pid, "VmSwap"),
                memory)
        look = Look(t, tool, victim)
        check_first_split(t, look, report, before)
        check_swapped_in(t, look, {*before.swapped} - {*after.swapped})
        # By now all headers have been read, and half of the heap is still swapped out.
        check_trim(t, tool, victim)
        t.check(look.report["totals"]["trim_bytes"] > look.report["totals"]["trim_resident_bytes"],
                "no swapped bytes in trim_bytes")


def check_first_split(t, look, report, before):
    """The report told the pages as they were before it read anything."""
    model = Model(look.chunks[0], before, look.brk)
    check_split(t, "arena 0, at first", report["arenas"][0], model)
    t.equal("trim_bytes at first", report["totals"]["trim_bytes"],
            (len(model.goes) + len(model.swap_goes)) * PAGE)


def check_swapped_in(t, look, back):
    """No pages came back but those which headers lie on."""
    headers = {at // PAGE for chunks in look.chunks.values() for c in chunks
               for at in (c.address, c.address + 47)}
    t.equal("pages that came back in vain", [*map(hex, sorted(back - headers))][:5], [])
    t.note(f"{len(back)} of {len(headers)} pages came back")


# ---- the target is left as it was ----------------------------------------------------------------


def untouched(t, tool, kind):
    """Where nothing is in RAM, heapwalk brings nothing there."""
    with obeying(tool.build, Case(kind, "pages", (kind,))) as victim:
        if kind == "trimmed":
            victim.order("t")
        rss, tables = status_bytes(victim.pid, "RssAnon"), status_bytes(victim.pid, "VmPTE")
        first, second = reported(t, tool, victim), reported(t, tool, victim)
        grown = status_bytes(victim.pid, "RssAnon") - rss
        t.check(grown < 64 << 10, f"RssAnon grew by {grown} bytes")
        grown = status_bytes(victim.pid, "VmPTE") - tables
        t.check(grown <= 32 << 10, f"page tables grew by {grown} bytes")
        if first and second:
            t.equal("a second report", without_volatile(second), without_volatile(first))
            t.note(f"{first['method']['bytes_read'] >> 10} KiB read of "
                   f"{first['totals']['system_bytes'] >> 20} MiB")


def trim_32_bit(t, tool, place, case):
    compiled(place, case.victim)
    trim(t, tool, case, place)


def run(suite, tool, _args):
    for case in CASES:
        suite.run(f"residency/trim/{case.name}", trim, tool, case)
    with workplace() as place:
        for case in (c for c in CASES if c.name in ON_32_BITS):
            suite.run(f"residency/i386/{case.name}", trim_32_bit, tool, place, case)
    suite.run("residency/swapped", swapped, tool)
    for kind in ("trimmed", "untouched"):
        suite.run(f"residency/harmless/{kind}", untouched, tool, kind)
