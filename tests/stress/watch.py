"""Looking after a target: what a tool that reads it must not leave behind."""

import os
import random
import shutil
import time

from process import thread_states, wait_for
from snapshot import children, keepers
from tool import Tool

SIGNALS = ("SigBlk:", "SigIgn:", "SigCgt:")


class Rounds:
    """How often something is tried: so many times, or as often as the time allows; 0: no limit."""

    def __init__(self, count, seconds=0):
        self.count, self.seconds = count, seconds

    def of(self, t):
        """The rounds of one test. Ends early when something went wrong."""
        began, done = time.monotonic(), 0
        while done < self.count and not t.failures:
            if self.seconds and done > 1 and time.monotonic() - began > self.seconds:
                break
            yield done
            done += 1
        t.note(f"{done} of {self.count} rounds in {time.monotonic() - began:.0f} s")


def own_tool(tool, place):
    """heapwalk under a name of its own: so its processes are told from those of other tests."""
    shutil.copy2(tool.path, os.path.join(place, "heapwalk"))
    return Tool(place)


def held(pid):
    """Threads that are traced or stopped: {tid: (state, tracer)}."""
    return {tid: state for tid, state in thread_states(pid).items()
            if state[1] > 0 or state[0] in "tT"}


def check_let_go(t, tool, pid, what):
    """Nobody holds it, no thread is stopped, no copy of it is left, not even a dead one."""
    t.check(wait_for(lambda: not keepers(tool), 20), f"{what}: keepers left: {keepers(tool)}")
    t.check(wait_for(lambda: not held(pid)), f"{what}: still held: {held(pid)}")
    left = wait_for(lambda: not children(pid))
    t.check(left, f"{what}: children left: {[(c, state_of(c)) for c in children(pid)]}")
    t.check(thread_states(pid), f"{what}: the target is gone")


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def signals_of(pid):
    """{tid: its signal mask and dispositions}"""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as f:
            found[int(tid)] = [line.split()[1] for line in f if line.startswith(SIGNALS)]
    return found


def some_moment(seconds, rng=random.Random(2)):
    """Wait for a while, of which nobody knows how long."""
    time.sleep(rng.uniform(0, seconds))
