"""Committed cores (tests/fixtures/make-cores.py), each with what its program knew of its own heap."""

import os

import chunk_checks
import damage_victims
from cores import check_note, problems
from process import Victim
from report_checks import check_adds_up, check_mallinfo2
from suite import Skip

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "cores")
SMASHED = ("text", "twice", "top-text", "bin-link")


class Stored(Victim):
    """A committed core: what its program knew, without the program."""

    def __init__(self, name):
        self.directory = os.path.join(FIXTURES, name)
        self.core = os.path.join(self.directory, "core.zst")


def emulated(t, tool):
    """By qemu-user, of a program that was linked to a libc which is not here: neither the files nor
    a header of any was saved. All is told but what the threads have in their caches."""
    victim = Stored("qemu-aarch64")
    if os.path.exists("/lib/aarch64-linux-gnu/libc.so.6"):
        raise Skip("this system has a libc of that machine")
    ran = tool.run("-J", victim.core)
    if not t.equal(str(ran), ran.status, 1):
        return
    report, want = ran.json(), victim.mallinfo2()
    check_adds_up(t, "report", report)
    t.equal("kinds", [f["kind"] for f in problems(report)], ["thread_cache"])
    check_note(t, report, "/lib/aarch64-linux-gnu/libc.so.6")
    check_note(t, report, "--libc")
    check_mallinfo2(t, report, victim)
    t.equal("unaccounted", report["totals"]["unaccounted_bytes"], 0)
    t.equal("libc", report["allocator"]["libc"]["path"], "/lib/aarch64-linux-gnu/libc.so.6")
    t.equal("threads", sorted(row["tid"] for row in report["threads"]),
            sorted(int(tid) for tid, _ in victim.expectations("thread_pointer")))
    listed = chunk_checks.parse(tool.run("--chunks", "-f", "csv", victim.core).out)
    used = {c.pointer: c.bytes - 8 for c in listed if c.state == "in use"}
    wrong = [hex(p) for p, usable in victim.blocks().items() if used.get(p) != usable]
    t.equal("live blocks that are not listed", wrong[:5], [])
    t.equal("free bytes", report["totals"]["free_bytes"], want["fordblks"])


def smashed(t, tool, mistake):
    """By the kernel, with a libc of another release, and no file of that machine is here."""
    victim = Stored(f"smashed-{mistake}")
    damage_victims.check_target(t, tool, mistake, [victim.core], victim, damage_victims.FOREIGN)


def run(suite, tool, _args):
    suite.run("cores/stored/emulated", emulated, tool)
    for mistake in SMASHED:
        suite.run(f"cores/stored/smashed-{mistake}", smashed, tool, mistake)
