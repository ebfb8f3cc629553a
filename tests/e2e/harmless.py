"""The target must not notice: heapwalk is killed at random moments, and everything runs on."""

import os
import random
import signal
import time

from process import Victim, Words, thread_states, wait_for, workplace

THREADS, MIB = 50, 300
RUNS_ON = set("SRD")  # what a thread that counts and sleeps may be seen in


class Ticker:
    """The ticker victim and its page of counters."""

    def __init__(self, build, directory):
        self.victim = Victim(build, directory, "ticker", (THREADS, MIB))
        self.pid = self.victim.pid
        self.words = Words(directory, "ticks")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.victim.close()

    def ticks(self):
        return self.words.first(THREADS)

    def all_count(self, seconds=5.0):
        """True once every single thread has counted on from now."""
        before = self.ticks()
        return wait_for(lambda: all(a > b for a, b in zip(self.ticks(), before)), seconds)

    def untraced(self):
        states = thread_states(self.pid)
        return len(states) == THREADS + 1 and all(tracer == 0 for _, tracer in states.values())

    def in_states(self, allowed):
        return {state for state, _ in thread_states(self.pid).values()} <= allowed

    def signal(self, number):
        os.kill(self.pid, number)


def whole_run(t, tool, ticker):
    """How long heapwalk takes when it is left alone; the target's state while it is seen."""
    start = time.monotonic()
    ran = tool.run("-J", "-p", ticker.pid)
    took = time.monotonic() - start
    t.equal(str(ran), ran.status, 0)
    if ran.status == 0:
        t.note(f"undisturbed {took:.2f} s, pause {ran.json()['method']['pause_ns'] / 1e6:.1f} ms")
    return took


def interrupted_run(tool, ticker, number, delay):
    """Start, wait, signal: whether it held the target then, and whether it had ended before."""
    process = tool.start("-J", "-p", ticker.pid)
    time.sleep(delay)
    held = any(tracer != 0 for _, tracer in thread_states(ticker.pid).values())
    ended = process.poll() is not None
    process.send_signal(number)
    process.wait(timeout=120)
    return held, ended


def check_running(t, ticker, what):
    t.check(wait_for(ticker.untraced, 2), f"{what}: still traced: {thread_states(ticker.pid)}")
    ok = wait_for(lambda: ticker.in_states(RUNS_ON), 2)
    t.check(ok, f"{what}: states {thread_states(ticker.pid)}")
    t.check(ticker.all_count(), f"{what}: some thread does not count any more")


def disturb_running(t, tool, ticker, number, rounds):
    rng = random.Random(number)
    took = whole_run(t, tool, ticker)
    check_running(t, ticker, "after a whole run")
    times_held = 0
    for i in range(rounds):
        held, ended = interrupted_run(tool, ticker, number, rng.uniform(0, 1.1 * took))
        times_held += held
        if ended:  # the machine had other things to do when it was measured
            took *= 0.8
        check_running(t, ticker, f"round {i}")
        if t.failures:
            break
    t.note(f"{rounds} rounds, target held in {times_held}")
    t.check(times_held > 0 or rounds < 20, "never caught in the act: this test shows nothing")


def check_stopped(t, ticker, what):
    t.check(wait_for(ticker.untraced, 2), f"{what}: still traced: {thread_states(ticker.pid)}")
    ok = wait_for(lambda: ticker.in_states({"T"}), 2)
    t.check(ok, f"{what}: not in its job-control stop: {thread_states(ticker.pid)}")
    before = ticker.ticks()
    time.sleep(0.02)
    t.check(ticker.ticks() == before, f"{what}: runs although it was stopped")


def disturb_stopped(t, tool, ticker, rounds):
    rng = random.Random(1)
    ticker.signal(signal.SIGSTOP)
    if not t.check(wait_for(lambda: ticker.in_states({"T"})), "SIGSTOP has no effect"):
        return
    took = whole_run(t, tool, ticker)
    check_stopped(t, ticker, "after a whole run")
    for i in range(rounds):
        interrupted_run(tool, ticker, signal.SIGKILL, rng.uniform(0, 1.1 * took))
        check_stopped(t, ticker, f"round {i}")
        if t.failures:
            break
    ticker.signal(signal.SIGCONT)
    check_running(t, ticker, "after SIGCONT")
    t.note(f"{rounds} rounds")


def run(suite, tool, args):
    names = ["harmless/killed", "harmless/interrupted", "harmless/terminated", "harmless/stopped"]
    if not any(suite.wants(name) for name in names):
        return
    few = max(1, args.rounds // 5)
    with workplace() as directory:
        with Ticker(tool.build, directory) as ticker:
            suite.run(names[0], disturb_running, tool, ticker, signal.SIGKILL, args.rounds)
            suite.run(names[1], disturb_running, tool, ticker, signal.SIGINT, few)
            suite.run(names[2], disturb_running, tool, ticker, signal.SIGTERM, few)
            suite.run(names[3], disturb_stopped, tool, ticker, few)
