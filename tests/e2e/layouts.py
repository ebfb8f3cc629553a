"""Layouts of memory that the usual checks of a case do not fit."""

import ctypes
import struct

import chunk_checks
from cases import Case
from machine import machine_of
from modes import check_dumped, check_live, check_same_text, good, kernel_core, running
from process import settled, status_bytes, thread_states
from report_checks import check_mallinfo2, check_report
from suite import Skip

LOADED = Case("second-libc-loaded", "second-libc", ("loaded",))
# gdb does not save what may not be read, so that its core has no room for such a gap.
NOTHING = Case("gap-of-nothing", "gap-of-words", (4 << 20, "none"))

SYS_USERFAULTFD = 323
PAGE, PRESENT = 4096, 1 << 63 | 1 << 62  # in RAM or swapped out


def check_base_heap(t, tool, target, victim):
    """The report is of the victim's heap, and says that the copy has one, too. How much ld.so itself
    holds for the copy is its own affair, so blocks are only looked for."""
    ran = tool.run("-J", *target)
    t.equal(f"{ran}: status", ran.status, 1)
    if ran.status != 1:
        return
    report = ran.json()
    kinds = {f["kind"] for f in report["findings"]}
    t.equal("findings", kinds - {"note"}, {"other_malloc"})
    t.equal("unaccounted", report["totals"]["unaccounted_bytes"], 0)
    check_mallinfo2(t, report, victim)
    ran = tool.run("-f", "malloc_info", *target)
    check_same_text(t, "malloc_info", ran.out, victim.text("malloc_info.xml"))
    listed = chunk_checks.parse(tool.run("--chunks", "-f", "csv", *target).out)
    cost = machine_of(report).word
    used = {c.pointer: c.bytes - cost for c in listed if c.state == "in use"}
    missing = [hex(p) for p, usable in victim.blocks().items() if used.get(p) != usable]
    t.equal("live blocks that are not listed", missing[:5], [])


def second_libc(t, tool):
    with running(tool.build, LOADED) as victim:
        check_base_heap(t, tool, ["-p", victim.pid], victim)
        check_base_heap(t, tool, [kernel_core(victim)], victim)


def unreadable_gap(t, tool):
    with running(tool.build, NOTHING) as victim:
        tids = list(thread_states(victim.pid))
        check_live(t, tool, NOTHING, victim)
        check_dumped(t, tool, NOTHING, victim, kernel_core, tids)


def lost_chunk(t, tool):
    """A search in vain, while the target stands still, is given up after a bounded effort."""
    with running(tool.build, Case("lost-chunk", "lost-chunk", (32,))) as victim:
        ran = tool.run("-J", "--max-pause", "none", "-p", victim.pid, timeout=60)
        if not t.equal(str(ran), ran.status, 1):
            return
        report = ran.json()
        kinds = [f["kind"] for f in report["findings"] if f["kind"] != "note"]
        t.equal("findings", kinds, ["mmapped_mismatch"])
        t.equal("unaccounted_bytes", report["totals"]["unaccounted_bytes"], 0)
        read = report["method"]["bytes_read"] >> 20
        t.check(read < 2048, f"{read} MiB were read")
        t.note(f"{read} MiB read, pause {report['method']['pause_ns'] / 1e6:.0f} ms")


# ---- pages that were never touched ---------------------------------------------------------------


def present_pages(pid, start, size):
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as f:
        f.seek(start // PAGE * 8)
        entries = f.read(size // PAGE * 8)
    return sum(1 for (entry,) in struct.iter_unpack("<Q", entries) if entry & PRESENT)


def untouched(t, tool, kind):
    """No page comes into being because heapwalk looked for chunks there, and it does not wait for a
    handler of page faults that it has stopped."""
    with running(tool.build, Case("sparse", "sparse", (kind, 256))) as victim:
        (start, size), = victim.expectations("sparse")
        where = victim.pid, int(start, 16), int(size)
        before, tables = thread_states(victim.pid), status_bytes(victim.pid, "VmPTE")
        t.equal("pages present in the beginning", present_pages(*where), 0)
        ran = tool.run("-J", "--max-pause", "none", "-p", victim.pid, timeout=60)
        if good(t, ran):
            check_report(t, ran.json(), True)
            check_mallinfo2(t, ran.json(), victim)
        t.equal("pages present afterwards", present_pages(*where), 0)
        # To read libc's own pages may take a table or two; a walk over all these would take 512 KiB.
        grown = status_bytes(victim.pid, "VmPTE") - tables
        t.check(grown <= 32 << 10, f"page tables grew by {grown} bytes")
        t.equal("threads afterwards", settled(victim.pid, before), before)


def userfault(t, tool):
    if ctypes.CDLL(None, use_errno=True).syscall(SYS_USERFAULTFD, 0o2000000) < 0:
        raise Skip("userfaultfd(2) is not permitted here")
    untouched(t, tool, "userfault")


def run(suite, tool, _args):
    suite.run("layouts/second-libc-loaded", second_libc, tool)
    suite.run("layouts/gap-of-nothing", unreadable_gap, tool)
    suite.run("layouts/lost-chunk", lost_chunk, tool)
    suite.run("layouts/untouched", untouched, tool, "untouched")
    suite.run("layouts/userfault", userfault, tool)
