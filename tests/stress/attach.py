"""Attached to again and again: 300 threads in malloc and free, a third of them coming and going."""

import signal
import subprocess
import time

from busy import check_snapshot
from process import Victim, workplace
from snapshot import wait_until_traced
from watch import check_let_go, own_tool, some_moment

STEADY, LINES, BLOCKS = 200, 100, 60
PATIENCE = 120  # seconds after which a run counts as hanging
POLITE = ("nice", "-n", "19")  # or so many threads leave nothing for anybody else
WAYS = (("--max-pause", "none"), (), ("--snapshot",), ("--no-stop",), ("--max-pause", "5"))


def swarm(build, place):
    return Victim(build, place, "busy", (STEADY, LINES, BLOCKS), prefix=POLITE)


def check_named(t, what, ran):
    """Complete, or a reason why not."""
    report = ran.json()
    reasons = [f for f in report["findings"] if f["kind"] != "note"]
    t.equal(f"{what}: complete exactly if nothing was found", report["complete"], not reasons)
    check_snapshot(t, what, report, ran.status)
    return reasons


def attached(t, tool, rounds):
    with workplace() as place, swarm(tool.build, place) as victim:
        tool, partial, pauses = own_tool(tool, place), {}, []
        for i in rounds.of(t):
            ran = tool.run("-J", "-p", victim.pid, timeout=PATIENCE)
            if t.check(ran.status in (0, 1), f"round {i}: {ran}"):
                for reason in check_named(t, f"round {i}", ran):
                    partial[reason["kind"]] = partial.get(reason["kind"], 0) + 1
                pauses.append(ran.json()["method"]["pause_ns"] / 1e6)
            check_let_go(t, tool, victim.pid, f"round {i}")
        if pauses:
            t.note(f"pauses {min(pauses):.0f} to {max(pauses):.0f} ms, findings {partial or 'none'}")


def end_by(process, number, pid, took, early):
    """Send a signal at a random moment, half of the time while the target is held. SIGPIPE comes the
    usual way: nobody reads."""
    if number == signal.SIGPIPE:
        process.stdout.read(1 if early else 5000)
        process.stdout.close()
    elif early:
        wait_until_traced(process, pid)
        some_moment(took / 10)
    else:
        some_moment(1.1 * took)
    if number != signal.SIGPIPE:
        process.send_signal(number)
        process.stdout.close()
    return process.wait(timeout=PATIENCE)


def killed(t, tool, rounds):
    numbers = (signal.SIGKILL, signal.SIGINT, signal.SIGPIPE)
    with workplace() as place, swarm(tool.build, place) as victim:
        tool = own_tool(tool, place)
        began, in_time = time.monotonic(), 0
        tool.run("-J", "-p", victim.pid, timeout=PATIENCE)
        took = time.monotonic() - began
        for i in rounds.of(t):
            way = WAYS[i % len(WAYS)]
            number = numbers[i // len(WAYS) % len(numbers)]
            form = "--chunks" if number == signal.SIGPIPE else "-J"
            process = tool.start(form, *way, "-p", victim.pid, stdout=subprocess.PIPE)
            status = end_by(process, number, victim.pid, took, early=i % 2)
            in_time += status not in (0, 1)
            check_let_go(t, tool, victim.pid, f"round {i}, {' '.join(way)} {number.name}")
        t.note(f"{len(WAYS)} ways to read, caught in the act {in_time} times")


def run(suite, tool, rounds):
    suite.run("stress/attached", attached, tool, rounds)
    suite.run("stress/killed", killed, tool, rounds)
