"""--snapshot of threads that wait in every way: each wait ends when it has to, and no trace is left."""

import os
import time

from process import Victim, Words, wait_for, workplace
from watch import check_let_go, own_tool, signals_of

WORDS, MOST = 4, 64  # of the victim's page: words of a thread, threads
DONE, WRONG, WHY, LATEST = range(WORDS)
ALL, BUSY = "rpfsnPFbrpfsnPF", "bbb"
LATE = 5e9  # ns; a machine with other things to do may be late, but not so late


def records(words, kinds):
    every = words.first(WORDS * len(kinds))
    return [every[WORDS * i:WORDS * (i + 1)] for i in range(len(kinds))]


def usual_signals(pid):
    """sigwait() and pthread_kill() change masks for a moment: this is what they mostly are."""
    samples = {}
    for _ in range(15):
        for tid, signals in signals_of(pid).items():
            samples.setdefault(tid, []).append(signals)
        time.sleep(0.01)
    return {tid: max(seen, key=seen.count) for tid, seen in samples.items()}


def unchanged(pid, before):
    """Whether all signal masks are right, at some moment at least."""
    return wait_for(lambda: signals_of(pid) == before, 20)


def check_waits(t, words, kinds, what, seconds=20):
    """Every thread goes on waiting, and all went well so far."""
    before = [r[DONE] for r in records(words, kinds)]
    on = lambda: all(r[DONE] > b for r, b in zip(records(words, kinds), before))
    t.check(wait_for(on, seconds), f"{what}: some of {kinds} wait for ever: "
            f"{[r[DONE] - b for r, b in zip(records(words, kinds), before)]}")
    for kind, record in zip(kinds, records(words, kinds)):
        t.check(record[WRONG] == 0, f"{what}: {kind}: {record[WRONG]} waits went wrong, "
                f"errno {record[WHY]} ({os.strerror(record[WHY])})")
        t.check(record[LATEST] < LATE, f"{what}: {kind}: {record[LATEST] / 1e6:.0f} ms late")
    t.equal(f"{what}: SIGCHLD received", words[WORDS * MOST], 0)


def undisturbed(t, tool, rounds, kinds, options):
    with workplace() as place, Victim(tool.build, place, "waits", (kinds,)) as victim:
        tool, words = own_tool(tool, place), Words(place, "waits")
        check_waits(t, words, kinds, "before")
        before, began, pauses = usual_signals(victim.pid), time.monotonic(), []
        for i in rounds.of(t):
            ran = tool.run("-J", *options, "-p", victim.pid)
            t.check(ran.status == 0, f"round {i}: {ran}")
            check_let_go(t, tool, victim.pid, f"round {i}")
            t.check(unchanged(victim.pid, before),
                    f"round {i}: signals {signals_of(victim.pid)}, were {before}")
            pauses.append(ran.json()["method"]["pause_ns"] / 1e6)
            check_waits(t, words, kinds, f"round {i}, stopped for {pauses[-1]:.0f} ms")
        waits = sum(r[DONE] for r in records(words, kinds))
        latest = max(r[LATEST] for r in records(words, kinds)) / 1e6
        t.note(f"{waits} waits in {time.monotonic() - began:.0f} s, latest {latest:.0f} ms, "
               f"stopped for at most {max(pauses, default=0):.0f} ms")


def run(suite, tool, rounds):
    suite.run("stress/waits", undisturbed, tool, rounds, ALL, ["--snapshot"])
    suite.run("stress/waits-busy", undisturbed, tool, rounds, BUSY, ["--snapshot"])
    suite.run("stress/waits-stopped", undisturbed, tool, rounds, ALL, [])
