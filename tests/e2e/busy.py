"""A target that never stands still: locked arenas, half-done work, threads that come and go."""

import sys

from cases import Case
from modes import running
from process import Victim, thread_states, untraced, wait_for, workplace
from programs import Program, compiled
from report_checks import check_adds_up, check_schema

BUSY = Case("busy", "busy", (4,))
ROUNDS = 10


def check_snapshot(t, what, report, status):
    check_schema(t, report)
    t.equal(f"{what}: complete and status", report["complete"], status == 0)
    check_adds_up(t, what, report)
    check_lost(t, what, report)


def check_lost(t, what, report):
    """Bytes are lost only where a thread was just changing an arena, and a finding names each."""
    rows = report["arenas"]
    for row in rows:
        lost, number = row["unaccounted_bytes"], row["index"]
        if not lost or row["moved"]:
            continue
        # What is wrong by so many bytes need not be lost: a size of the arena or of its top, half changed.
        named, sums = [f["bytes"] for f in report["findings"] if f["arena"] == number and f["bytes"]
                       and f["kind"] not in ("note", "list_mismatch")], {0}
        for bytes_ in named[:12]:
            sums |= {bytes_ + s for s in sums}
        t.check(row["locked"], f"{what}: arena {number} was not locked and lost {lost} bytes")
        t.check(lost in sums, f"{what}: arena {number} lost {lost} bytes, named are {named}")
    t.equal(f"{what}: lost bytes in all", report["totals"]["unaccounted_bytes"],
            sum(row["unaccounted_bytes"] for row in rows))


def torn_moments(t, tool):
    with running(tool.build, BUSY) as victim:
        complete = 0
        for i in range(ROUNDS):
            ran = tool.run("-J", "-p", victim.pid, timeout=60)
            if not t.check(ran.status in (0, 1), str(ran)):
                break
            check_snapshot(t, f"round {i}", ran.json(), ran.status)
            complete += ran.status == 0
        ok = wait_for(lambda: untraced(victim.pid))
        t.check(ok, f"still traced: {thread_states(victim.pid)}")
        t.note(f"{ROUNDS} rounds, {complete} complete")


def one_thread(t, tool):
    """It takes no lock. What is wrong is half done: a note says so, and nobody is told of damage only."""
    with workplace() as place, Program(place, [compiled(place, "churn")]) as victim:
        noted = 0
        for i in range(ROUNDS):
            ran = tool.run("-J", "--check", "-p", victim.pid, timeout=60)
            if not t.check(ran.status in (0, 1), str(ran)):
                break
            report = ran.json()
            notes = [f for f in report["findings"] if f["kind"] == "note"
                     and f"thread {victim.pid} stood in malloc" in f["text"]]
            t.equal(f"round {i}: notes, where it is partial", len(notes), 1 - report["complete"])
            noted += len(notes)
        t.note(f"{ROUNDS} rounds, {ROUNDS - noted} complete")


def several_at_once(t, tool):
    """Two of us at the same target: one may be refused, neither may hang or harm."""
    with running(tool.build, BUSY) as victim:
        for _ in range(10):
            pair = [tool.start("-J", "-p", victim.pid) for _ in range(2)]
            statuses = [p.wait(timeout=60) for p in pair]
            t.check(set(statuses) <= {0, 1, 2}, f"statuses {statuses}")
        ok = wait_for(lambda: untraced(victim.pid))
        t.check(ok, f"still traced: {thread_states(victim.pid)}")


def ordinary_program(t, tool):
    """A program that nobody wrote for us, and that is not built with debug information."""
    code = "import json, threading, time\nx = [str(i) * 20 for i in range(100000)]\n" \
           "del x[::2]\nprint('ready', flush=True)\ntime.sleep(600)"
    with workplace() as place:
        env = {"PYTHONMALLOC": "malloc"}
        with Program(place, [sys.executable, "-c", code], env) as target:
            ran = tool.run("-J", "-p", target.pid)
            t.equal(str(ran), ran.status, 0)
            if ran.status == 0:
                check_snapshot(t, "python", ran.json(), 0)
                used = ran.json()["totals"]["in_use_chunks"]
                t.check(used > 50000, f"only {used} chunks in use")


def unasked(t, tool):
    """A program whose allocator was never even initialized: nothing is there, and that is said."""
    with workplace() as place:
        with Victim(tool.build, place, "unused", ("unasked",)) as victim:
            ran = tool.run("-J", "-p", victim.pid)
            t.equal(str(ran), ran.status, 0)
            if ran.status == 0:
                report = ran.json()
                check_snapshot(t, "unused", report, 0)
                t.equal("system_bytes", report["totals"]["system_bytes"], 0)
                t.equal("in_use_chunks", report["totals"]["in_use_chunks"], 0)


def run(suite, tool, _args):
    suite.run("busy/torn-moments", torn_moments, tool)
    suite.run("busy/one-thread", one_thread, tool)
    suite.run("busy/several-at-once", several_at_once, tool)
    suite.run("busy/ordinary-program", ordinary_program, tool)
    suite.run("busy/unasked", unasked, tool)
