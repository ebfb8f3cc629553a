"""How heapwalk behaves besides: priorities, a line about progress, files when it is interrupted."""

import os
import pty
import re
import select
import signal
import time

from harmless import Ticker
from process import Victim, wait_for, workplace
from tool import calls_of, under_strace

SLOW = ("-qq", "-e", "trace=process_vm_readv,pread64",
        "-e", "inject=process_vm_readv:delay_enter=30000")
LINE = b"\r\x1b[Kheapwalk: ["


def priorities(t, tool):
    """Symbols are read at a lower priority, the process at the usual one."""
    with workplace() as place, Victim(tool.build, place, "ticker", (4, 10)) as victim:
        ran, calls = calls_of(tool, place, "-J", "-p", victim.pid)
        t.equal("status", ran.status, 0)
        calls = calls.splitlines()
    stop = next(i for i, c in enumerate(calls) if f"PTRACE_SEIZE, {victim.pid}" in c)
    of = lambda name, some: {c.split()[0] for c in some if f" {name}" in c}
    lowered = of("ioprio_set(", calls)
    t.equal("threads that are lowered", len(lowered), 1)
    t.equal("by setpriority()", of("setpriority(", calls[:stop - 1]) & lowered, lowered)
    t.check(lowered & of("openat(", calls[:stop]), "it opens no file")
    at_work = of("process_vm_readv(", calls[stop:]) | of("ptrace(", calls[stop:])
    t.check(at_work and not lowered & at_work, f"{lowered} is lowered, {at_work} at work")


def on_terminal(tool, *args, seconds=60):
    """What heapwalk writes to standard error, a terminal."""
    ours, theirs = pty.openpty()
    process = tool.start(*args, stderr=theirs)
    os.close(theirs)
    out, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        ready, _, _ = select.select([ours], [], [], 1)
        try:
            some = os.read(ours, 65536) if ready else None
        except OSError:  # EIO: the other end is closed
            break
        if some == b"":
            break
        out += some or b""
    os.close(ours)
    return process.wait(timeout=60), out


def progress(t, tool):
    with workplace() as place, Victim(tool.build, place, "ticker", (2, 60)) as victim:
        slow = under_strace(tool, os.path.join(place, "calls"), *SLOW)
        args = ("-J", "--max-pause", "none", "-p", victim.pid)
        status, out = on_terminal(slow, *args)
        t.equal("status", status, 0)
        t.check(LINE in out, f"no line in {out!r}")
        shares = [int(n) for n in re.findall(rb"\] +(\d+) %", out)]
        t.check(shares == sorted(shares) and len(shares) > 1, f"shares {shares}")
        end = out[out.rindex(b"\r\x1b[K"):]
        t.check(end.startswith(b"\r\x1b[Kheapwalk: the process was stopped"), f"ends in {end!r}")
        status, out = on_terminal(slow, *args, "-q")
        t.equal("quiet", (status, out), (0, b""))
        status, out = on_terminal(tool, "-J", "-p", victim.pid)
        t.check(status == 0 and b"\x1b" not in out, f"a short run: {out!r}")
        ran = slow.run(*args)
        t.check(b"\x1b" not in ran.err, f"not to a terminal: {ran}")


def interrupted_output(t, tool):
    """Neither a report nor a part of one is left, nor is the process held."""
    with workplace() as place, Ticker(tool.build, place) as ticker:
        kept = os.path.join(place, "kept.json")
        with open(kept, "w", encoding="ascii") as f:
            f.write("old")
        before, in_time = sorted(os.listdir(place)), 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            for name in ("new.json", "kept.json"):
                process = tool.start("-o", os.path.join(place, name), "-p", ticker.pid)
                seen = wait_for(lambda: len(os.listdir(place)) > len(before)
                                or process.poll() is not None, 10)
                process.send_signal(number)
                status = process.wait(timeout=30)
                if not seen or status == 0:
                    for extra in set(os.listdir(place)) - set(before):
                        os.unlink(os.path.join(place, extra))
                    continue
                in_time += 1
                t.equal("status", status, -number)
                t.equal("files", sorted(os.listdir(place)), before)
                t.check(wait_for(ticker.untraced, 5), "still traced")
        t.check(ticker.all_count(), "it does not run on")
        t.note(f"{in_time} of 8 ended in time")
        t.check(in_time > 0, "all of them ended too early: this shows nothing")


def ignored(t, tool):
    """nohup: what was ignored stays so."""
    with workplace() as place, Ticker(tool.build, place) as ticker:
        path = os.path.join(place, "report.json")
        process = tool.start("-o", path, "-p", ticker.pid,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        wait_for(lambda: len(os.listdir(place)) > 2 or process.poll() is not None, 10)
        t.check(process.poll() is None, "it ended too early: this shows nothing")
        process.send_signal(signal.SIGHUP)
        t.equal("status", process.wait(timeout=30), 0)
        t.check(os.path.getsize(path) > 100, "no report")


def run(suite, tool, _args):
    suite.run("manners/priorities", priorities, tool)
    suite.run("manners/progress", progress, tool)
    suite.run("manners/interrupted-output", interrupted_output, tool)
    suite.run("manners/ignored", ignored, tool)
