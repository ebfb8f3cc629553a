"""--snapshot: the same report as stopped, a short pause, and nothing left behind, whatever happens."""

import os
import random
import re
import signal
import subprocess
import sys
import time

from cases import CASES
from harmless import RUNS_ON, Ticker
from modes import good, running
from process import Victim, Words, all_in, settled, thread_states, wait_for, workplace
from programs import Program
from report_checks import check_schema
from suite import Skip

SAME = ("many-threads", "mmapped-dynamic", "fork-child", "mixed")


def children(pid):
    """The child processes of all threads of a process."""
    found = []
    for tid in thread_states(pid):
        try:
            with open(f"/proc/{pid}/task/{tid}/children", encoding="ascii") as f:
                found += [int(child) for child in f.read().split()]
        except OSError:
            pass
    return found


def keepers(tool):
    """Those processes of heapwalk that hold targets: each has a session of its own."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            ours = os.readlink(f"/proc/{pid}/exe") == os.path.realpath(tool.path)
            if ours and os.getsid(int(pid)) == int(pid):
                found.append(int(pid))
        except OSError:
            pass
    return found


# ---- the same report ---------------------------------------------------------------------------


def without_method(name, out):
    """An output without what says how it was made. How much was read depends on how far ahead of the
    walk the reading was when the walk stepped over a free chunk."""
    if name == "json":
        return re.sub(rb'"method": \{.*?\}', b"", out, flags=re.S)
    if name == "text":
        volatile = rb"(snapshot, )?stopped for [0-9.]+ .?s|[0-9.]+ .?i?B read in|[0-9.]+ .?s$"
        out = re.sub(volatile, b"", out, flags=re.M)
        return b" ".join(out.split())
    return out


def same_report(t, tool, case):
    outputs = [("json", ["-J"]), ("text", ["--all-arenas", "-b"]),
               ("malloc_info", ["-f", "malloc_info"]), ("chunks", ["--chunks", "-f", "csv"])]
    with running(tool.build, case) as victim:
        before, had = thread_states(victim.pid), children(victim.pid)
        for name, options in outputs:
            stopped = tool.run(*options, "-p", victim.pid)
            copied = tool.run(*options, "--snapshot", "-p", victim.pid)
            if good(t, stopped) and good(t, copied):
                t.equal(name, without_method(name, copied.out), without_method(name, stopped.out))
            if name == "json":
                check_method(t, copied)
        t.equal("threads afterwards", settled(victim.pid, before), before)
        t.equal("children afterwards", children(victim.pid), had)


def check_method(t, ran):
    report = ran.json()
    method = report["method"]
    check_schema(t, report)
    t.equal("method.mode", method["mode"], "snapshot")
    t.check(0 < method["thread_pause_ns"] and 0 < method["pause_ns"], f"pauses {method}")
    told = re.search(rb"stopped for [0-9.]+ ms, and one thread of it for another [0-9.]+ ms",
                     ran.err)
    t.check(told, f"the pauses are not told: {ran.err}")


def busy_target(t, tool):
    """Figures of a program that allocates all the time are those of one moment."""
    with workplace() as directory, Victim(tool.build, directory, "busy", (4,)) as victim:
        for _ in range(3):
            ran = tool.run("-J", "--snapshot", "-p", victim.pid)
            if not t.check(ran.status in (0, 1), str(ran)):
                return
            check_schema(t, ran.json())
        t.equal("children", children(victim.pid), [])


# ---- the pause ---------------------------------------------------------------------------------

PAUSE_MIB, PAUSE_ROUNDS = int(os.environ.get("HW_FORK_MIB", "384")), 12
GAP, ASKED, DONE, TOOK = range(4)
# What stopping and letting go may take besides, on a machine that has other things to do.
SLACK_NS = 3_000_000


def as_short(gaps, forks):
    """The best of each count: on a busy machine anything may take longer."""
    return min(gaps) <= 1.5 * min(forks) + SLACK_NS


def pause_as_of_fork(t, tool):
    with workplace() as directory, Victim(tool.build, directory, "fork-gap", (PAUSE_MIB,)) as victim:
        word, forks, gaps, told = Words(directory, "gap"), [], [], []
        for _ in range(PAUSE_ROUNDS):
            word[ASKED] += 1
            t.check(wait_for(lambda: word[DONE] == word[ASKED], 30), "it does not fork")
            forks.append(word[TOOK])
            time.sleep(0.05)
            word[GAP] = 0
            ran = tool.run("-J", "--snapshot", "-p", victim.pid)
            if not good(t, ran):
                break
            gaps.append(word[GAP])
            told.append(ran.json()["method"]["pause_ns"])
            if len(gaps) > 1 and as_short(gaps, forks):
                break
        fork, gap = min(forks), min(gaps)
        t.note(f"{PAUSE_MIB} MiB: fork {fork / 1e6:.1f} ms, gap {gap / 1e6:.1f} ms, "
               f"told {min(told) / 1e6:.1f} ms")
        t.check(as_short(gaps, forks), "stands still for longer than fork() takes")
        t.check(min(told) >= 0.5 * fork, "the pause that is told is too short to be true")


# ---- heapwalk ends early ------------------------------------------------------------------------


def wait_until_traced(process, pid):
    """Until heapwalk holds its target; it may be over before we look."""
    wait_for(lambda: process.poll() is not None or
             any(tracer for _, tracer in thread_states(pid).values()))


def check_nothing_left(t, tool, ticker, what):
    t.check(wait_for(lambda: not keepers(tool), 20), f"{what}: keepers {keepers(tool)}")
    t.check(wait_for(ticker.untraced, 2), f"{what}: still traced: {thread_states(ticker.pid)}")
    t.equal(f"{what}: children", children(ticker.pid), [])
    ok = wait_for(lambda: ticker.in_states(RUNS_ON), 2)
    t.check(ok, f"{what}: states {thread_states(ticker.pid)}")
    t.check(ticker.all_count(), f"{what}: some thread does not count any more")


def killed(t, tool, ticker, number, rounds):
    rng = random.Random(number)
    start = time.monotonic()
    ran = tool.run("-J", "--snapshot", "-p", ticker.pid)
    took = time.monotonic() - start
    if not good(t, ran):
        return
    pause = ran.json()["method"]["pause_ns"] / 1e9
    # Half of them in the critical part: where all stand still for the fork.
    began, caught = time.monotonic(), {"stopped": 0, "copied": 0}
    for i in range(rounds):
        process = tool.start("-J", "--snapshot", "-p", ticker.pid)
        if i % 2:
            time.sleep(rng.uniform(0, 1.1 * took))
        else:
            wait_until_traced(process, ticker.pid)
            time.sleep(rng.uniform(0, pause))
        caught["stopped"] += not ticker.untraced()
        caught["copied"] += bool(children(ticker.pid))
        process.send_signal(number)
        process.wait(timeout=20)
        check_nothing_left(t, tool, ticker, f"round {i}")
        if t.failures:
            break
    t.note(f"{rounds} rounds in {time.monotonic() - began:.1f} s, pause {pause * 1000:.0f} ms, "
           f"while stopped {caught['stopped']}, while copied {caught['copied']}")
    t.check(rounds < 20 or all(caught.values()), "never caught in the act: this shows nothing")


def broken_pipe(t, tool, ticker):
    """Nobody reads the output."""
    for _ in range(3):
        process = tool.start("--chunks", "--snapshot", "-p", ticker.pid, stdout=subprocess.PIPE)
        process.stdout.read(10)
        process.stdout.close()
        process.wait(timeout=60)
        check_nothing_left(t, tool, ticker, "broken pipe")


# ---- the target ends early, or stands still ------------------------------------------------------


def target_killed(t, tool):
    rng = random.Random(7)
    with workplace() as place:
        for i in range(5):
            with Victim(tool.build, place, "ticker", (4, 30)) as victim:
                process = tool.start("-J", "--snapshot", "-p", victim.pid)
                wait_until_traced(process, victim.pid)
                time.sleep(rng.uniform(0, 0.1))
                victim.close()
                t.check(process.wait(timeout=30) in (0, 1, 2), f"status {process.returncode}")
            t.check(wait_for(lambda: not keepers(tool), 10), f"round {i}: keepers {keepers(tool)}")


def target_stopped(t, tool):
    with workplace() as directory, Victim(tool.build, directory, "ticker", (4, 1)) as victim:
        os.kill(victim.pid, signal.SIGSTOP)
        t.check(wait_for(lambda: all_in(victim.pid, "T")), "SIGSTOP has no effect")
        good(t, tool.run("-J", "--snapshot", "-p", victim.pid))
        t.check(wait_for(lambda: all_in(victim.pid, "T")), f"not stopped: {thread_states(victim.pid)}")
        t.equal("children", children(victim.pid), [])
        os.kill(victim.pid, signal.SIGCONT)
        t.check(wait_for(lambda: not all_in(victim.pid, "T")), "does not run on")


# ---- refusals -----------------------------------------------------------------------------------

FILTERED = """
import ctypes, struct, time
class prog(ctypes.Structure): _fields_ = [("len", ctypes.c_ushort), ("code", ctypes.c_void_p)]
code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7fff0000))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.byref(prog(1, ctypes.addressof(code)))) == 0
print("ready", flush=True)
time.sleep(600)
"""


def refused(t, tool):
    ran = tool.run("--snapshot", "/dev/null")
    t.equal("of a core", ran.status, 64)
    with workplace() as place, Program(place, [sys.executable, "-c", FILTERED]) as program:
        ran = tool.run("--snapshot", "-p", program.pid)
        t.equal("filtered", (ran.status, ran.out), (2, b""))
        t.check(b"seccomp" in ran.err and b"without --snapshot" in ran.err and
                b"--no-stop" in ran.err, str(ran))
        good(t, tool.run("-p", program.pid))


def limited_groups(t, tool):
    """Where control groups can be made: too little memory, too few processes."""
    limits = [("memory", "memory.limit_in_bytes", "200M", b"control group leaves"),
              ("pids", "pids.max", "4", b"more processes")]
    tried = 0
    with workplace() as directory, Victim(tool.build, directory, "ticker", (2, 150)) as victim:
        for controller, file, limit, why in limits:
            group = f"/sys/fs/cgroup/{controller}/heapwalk-e2e-{os.getpid()}"
            try:
                os.mkdir(group)
            except OSError:
                continue
            try:
                with open(f"/proc/{victim.pid}/cgroup", encoding="ascii") as f:
                    old = re.search(rf":{controller}:(.*)", f.read()).group(1)
                write(f"{group}/cgroup.procs", victim.pid)
                write(f"{group}/{file}", limit)
                if controller == "memory":  # what was there before is charged to the old group
                    write(f"{group}/{file}", "20M")
                ran = tool.run("--snapshot", "-p", victim.pid)
                t.equal(str(ran), ran.status, 2)
                t.check(why in ran.err, str(ran))
                tried += 1
                write(f"/sys/fs/cgroup/{controller}{old}/cgroup.procs", victim.pid)
            finally:
                os.rmdir(group)
    if not tried:
        raise Skip("no control groups (version 1) can be made here")
    t.note(f"{tried} of {len(limits)} could be tried")


def write(path, value):
    with open(path, "w", encoding="ascii") as f:
        f.write(str(value))


def run(suite, tool, args):
    for case in CASES:
        if case.name in SAME:
            suite.run(f"snapshot/same-report-{case.name}", same_report, tool, case)
    suite.run("snapshot/busy", busy_target, tool)
    suite.run("snapshot/pause", pause_as_of_fork, tool)
    suite.run("snapshot/target-killed", target_killed, tool)
    suite.run("snapshot/target-stopped", target_stopped, tool)
    suite.run("snapshot/refused", refused, tool)
    suite.run("snapshot/limited-groups", limited_groups, tool)
    names = {"snapshot/killed": (signal.SIGKILL, args.rounds // 5),
             "snapshot/interrupted": (signal.SIGINT, args.rounds // 10),
             "snapshot/piped": (signal.SIGPIPE, args.rounds // 10)}
    if any(suite.wants(name) for name in (*names, "snapshot/broken-pipe")):
        with workplace() as directory, Ticker(tool.build, directory) as ticker:
            for name, (number, rounds) in names.items():
                suite.run(name, killed, tool, ticker, number, max(2, rounds))
            suite.run("snapshot/broken-pipe", broken_pipe, tool, ticker)
