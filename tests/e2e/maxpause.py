"""--max-pause: the process runs again by then, and what was read later is what it would have been."""

import signal
import time

from harmless import Ticker
from modes import good
from process import Victim, Words, wait_for, workplace
from report_checks import check_schema, without_volatile

MIB, BUDGET_MS = 384, 20
# Letting go takes longer on a machine that has other things to do: the best of some rounds counts,
# and it is compared with what the same machine takes without a limit.
SLACK_NS, ROUNDS = 5_000_000, 8
LISTING = ("--chunks", "-f", "csv")  # blocks are wanted: there is one walk
LET_GO = "the process was let go after"


def notes(report):
    return [f["text"] for f in report["findings"] if f["kind"] == "note"]


class Clocked:
    """A heap of many small blocks, and a thread that measures the longest time it stood still."""

    def __init__(self, build, directory, mib=MIB):
        self.victim = Victim(build, directory, "fork-gap", (mib,))
        self.pid = self.victim.pid
        self.words = Words(directory, "gap")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.victim.close()

    def gap(self, tool, *options):
        """The longest gap in nanoseconds while heapwalk was at work, and what it said."""
        self.words[0] = 0
        ran = tool.run("-v", *options, "-p", self.pid)
        return self.words[0], ran


def runs_again(t, tool):
    budget = BUDGET_MS * 1_000_000
    with workplace() as place, Clocked(tool.build, place) as target:
        whole, ran = target.gap(tool, "--max-pause", "none", *LISTING)
        if not good(t, ran):
            return
        want, gaps = ran.out, []
        t.check(whole > 2 * budget, f"it stood still for {whole} ns only: this shows nothing")
        t.check(LET_GO.encode() not in ran.err, "let go without a limit")
        for _ in range(ROUNDS):
            gap, ran = target.gap(tool, "--max-pause", BUDGET_MS, *LISTING)
            if not good(t, ran):
                return
            t.check(LET_GO.encode() in ran.err, str(ran))
            t.check(ran.out == want, "another listing")
            gaps.append(gap)
            if gap <= budget + SLACK_NS:
                break
        t.note(f"gap without a limit {whole / 1e6:.0f} ms, with {BUDGET_MS} ms "
               f"{min(gaps) / 1e6:.1f} ms")
        limit = max(budget + SLACK_NS, whole / 2)
        t.check(min(gaps) <= limit, f"it stood still for {gaps} ns")


def two_walks(t, tool):
    """What does not change is read while it runs, and the process stands still to see that."""
    with workplace() as place, Clocked(tool.build, place) as target:
        whole, ran = target.gap(tool, "-J", "--max-pause", "none")
        if not good(t, ran):
            return
        want, pauses = ran.json(), []
        for _ in range(ROUNDS):
            _, ran = target.gap(tool, "-J", "--max-pause", BUDGET_MS)
            if not good(t, ran):
                return
            report = ran.json()
            check_schema(t, report)
            pauses.append(report["method"]["pause_ns"])
            if pauses[-1] < whole / 4:
                break
        t.note(f"pause of one walk {whole / 1e6:.0f} ms, of two {min(pauses) / 1e6:.1f} ms")
        t.check(min(pauses) < whole / 2, f"it stood still for {pauses} ns")
        for key in ("method", "findings", "finding_counts"):
            report[key] = want[key]
        t.equal("report", without_volatile(report), without_volatile(want))


def small_ones_first(t, tool):
    """A busy main arena that is too large for the time there is does not cost that of the others."""
    others, reports = range(1, 5), []
    with workplace() as place, Victim(tool.build, place, "lopsided", (MIB, len(others)),
                                      env={"MALLOC_ARENA_MAX": "9"}) as victim:
        for _ in range(ROUNDS):
            ran = tool.run("-J", "--max-pause", BUDGET_MS, "-p", victim.pid)
            if not t.equal(str(ran), ran.status, 1):
                return
            reports.append(ran.json())
            check_schema(t, reports[-1])
            rows = reports[-1]["arenas"]
            t.equal("order", [row["index"] for row in rows], [0, *others])
            t.check(rows[0]["moved"], "the main arena cannot be exact")
            t.check(any("was let go after" in text for text in notes(reports[-1])),
                    f"{notes(reports[-1])}")
            if not any(rows[i]["moved"] for i in others):
                break
    t.note(f"pauses {[r['method']['pause_ns'] / 1e6 for r in reports]} ms")
    t.equal("moved", [i for i in others if rows[i]["moved"]], [])
    for i in others:
        t.check(rows[i]["locked"] or rows[i]["unaccounted_bytes"] == 0, f"{rows[i]}")


def told(t, tool):
    """In the report and, with -v, on standard error."""
    with workplace() as place, Clocked(tool.build, place) as target:
        ran = tool.run("-J", "-v", "--chunks", "-o", "/dev/null", "--max-pause", "1", "-p",
                       target.pid)
        t.check(ran.status in (0, 1), str(ran))
        t.check(LET_GO.encode() in ran.err, str(ran))


def small_heap(t, tool):
    """The limit that is set anyway does not show where a pause is short."""
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        ran = tool.run("-J", "-p", victim.pid)
        if good(t, ran):
            method = ran.json()["method"]
            t.check(method["pause_ns"] < 1_000_000_000, f"{method}")
            t.equal("stops", method["stops"], 1)
            t.equal("notes", notes(ran.json()), [])


def quiet_moment(t, tool):
    """Of a program that allocates all the time it takes some stops until nobody is at it."""
    with workplace() as place, Victim(tool.build, place, "busy", (1,)) as victim:
        stops = []
        for _ in range(8):
            ran = tool.run("-J", "-p", victim.pid, timeout=60)
            if not t.check(ran.status in (0, 1), str(ran)):
                return
            method = ran.json()["method"]
            stops.append(method["stops"])
            t.check(method["pause_ns"] > 0, f"{method}")
        t.note(f"stops {stops}")
        t.check(1 <= min(stops) and max(stops) <= 8, f"stops {stops}")
        t.check(max(stops) > 1, "never stopped again: this shows nothing")


def terminal_stop(t, tool):
    """^Z at the wrong moment: the process that we hold must not stand still with us."""
    with workplace() as place, Ticker(tool.build, place) as ticker:
        caught = 0
        for _ in range(5):
            process = tool.start("-J", "-p", ticker.pid)
            held = wait_for(lambda: not ticker.untraced() or process.poll() is not None, 20)
            process.send_signal(signal.SIGTSTP)
            caught += bool(held) and process.poll() is None
            t.check(wait_for(ticker.untraced, 10), "still held")
            t.check(ticker.all_count(), "it does not run on")
            end = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < end:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.02)
            t.equal("status", process.wait(timeout=30), 0)
        t.check(caught > 0, "never caught in the act: this shows nothing")
        t.check(ticker.untraced(), "traced")


def refused(t, tool):
    for args in (("--max-pause", "0", "-p", "1"), ("--max-pause", "-5", "-p", "1"),
                 ("--max-pause", "soon", "-p", "1"), ("--max-pause", "5", "/dev/null"),
                 ("--max-pause", "5", "--no-stop", "-p", "1"),
                 ("--max-pause", "none", "--snapshot", "-p", "1")):
        ran = tool.run(*args)
        t.equal(str(ran), ran.status, 64)
        t.check(b"--max-pause" in ran.err, str(ran))


def run(suite, tool, _args):
    suite.run("maxpause/runs-again", runs_again, tool)
    suite.run("maxpause/two-walks", two_walks, tool)
    suite.run("maxpause/small-ones-first", small_ones_first, tool)
    suite.run("maxpause/told", told, tool)
    suite.run("maxpause/small-heap", small_heap, tool)
    suite.run("maxpause/quiet-moment", quiet_moment, tool)
    suite.run("maxpause/terminal-stop", terminal_stop, tool)
    suite.run("maxpause/refused", refused, tool)
