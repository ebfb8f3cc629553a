"""--no-stop of a program that allocates as fast as it can: about right, or it is said what is not."""

import os
import statistics
import time

from process import Victim, Words, thread_states, workplace
from report_checks import check_adds_up, check_schema
from watch import held, own_tool

LIVE, LEAST, MOST, GAP = range(4)
WITHIN = 0.02
SLACK = 2e6  # ns that a tick may come later than without us


def begin_anew(words):
    words[LEAST], words[MOST], words[GAP] = words[LIVE], 0, 0


def check_truth(t, what, ran, least, most):
    """What is in use is what the program knows, or what is in doubt is named. Returns the
    deviation from what it knows."""
    report = ran.json()
    totals = report["totals"]
    used = totals["in_use_bytes"] + totals["mmapped_bytes"]
    off = max(least - used, used - most, 0) / most
    moved = [f for f in report["findings"] if f["kind"] == "moved"]
    told = sum(f["bytes"] or 0 for f in moved)
    if off > WITHIN:
        t.check(ran.status == 1 and moved, f"{what}: {used} bytes in use, off by {off:.1%}, "
                f"not {least} to {most}, and nothing says so")
        t.check(told > 0, f"{what}: off by {off:.1%}, but no bytes are named: {moved[:3]}")
    return off, told / most


def check_running(t, what, ran):
    report = ran.json()
    t.equal(f"{what}: method.mode", report["method"]["mode"], "running")
    check_adds_up(t, what, report)
    t.check(all("moved" in arena for arena in report["arenas"]), f"{what}: arenas[].moved")
    t.equal(f"{what}: complete and status", report["complete"], ran.status == 0)


def never_stopped(t, tool, rounds):
    offs, told, gaps, idle, partial = [], [], [], [], 0
    with workplace() as place, Victim(tool.build, place, "flood") as victim:
        tool, words = own_tool(tool, place), Words(place, "flood")
        for i in rounds.of(t):
            what = f"round {i}"
            begin_anew(words)
            began = time.monotonic()
            ran = tool.run("-J", "--no-stop", "-p", victim.pid)
            gaps.append(words[GAP])
            least, most = words[LEAST], words[MOST]
            if not t.check(ran.status in (0, 1), f"{what}: {ran}"):
                break
            check_running(t, what, ran)
            if i % 20 == 0:
                check_schema(t, ran.json())
            partial += ran.status
            off, named = check_truth(t, what, ran, least, most)
            offs.append(off)
            told.append(named)
            t.equal(f"{what}: held", held(victim.pid), {})
            begin_anew(words)
            time.sleep(time.monotonic() - began)  # as long without us
            idle.append(words[GAP])
        first = ticks_first(victim.pid)
    if offs:
        t.note(f"{partial} partial; beyond what it knew: median {statistics.median(offs):.2%}, most "
               f"{max(offs):.2%}; named as moved: median {statistics.median(told):.1%}")
        check_gaps(t, gaps, idle, first)


def ticks_first(pid):
    """Whether the ticking thread comes before all others, as far as the kernel lets it."""
    return any(os.sched_getscheduler(tid) == os.SCHED_RR for tid in thread_states(pid))


def check_gaps(t, gaps, idle, first):
    """Ticks come late on a busy machine anyway: what counts is how late in most rounds, and of a
    thread that does not wait for others."""
    ours, theirs = statistics.median(gaps), statistics.median(idle)
    t.note(f"longest gap: median {ours / 1e6:.1f} ms, without us {theirs / 1e6:.1f} ms; "
           f"most {max(gaps) / 1e6:.1f} ms, without us {max(idle) / 1e6:.1f} ms")
    t.check(not first or len(gaps) < 10 or ours < theirs + SLACK, "it stands still for longer than without us")


def run(suite, tool, rounds):
    suite.run("stress/no-stop", never_stopped, tool, rounds)
