"""Running one case in its three modes: live, from a core by gdb, from a core by the kernel."""

import os
import subprocess
from contextlib import contextmanager

from chunk_checks import check_chunks
from oracle_checks import check_oracle
from process import Victim, settled, thread_states, workplace
from report_checks import (
    check_expectations,
    check_mallinfo2,
    check_report,
    check_threads,
    without_volatile,
)
from suite import Skip
from text_checks import check_csv, check_text


@contextmanager
def running(build, case, prefix=()):
    """The victim of a case, in a directory of its own."""
    with workplace() as directory:
        with Victim(build, directory, case.victim, case.args, case.env, prefix) as victim:
            yield victim


def good(t, ran):
    """Status 0 and nothing that sounds like trouble."""
    t.equal(str(ran), ran.status, 0)
    return ran.status == 0


def check_target(t, tool, target, case, victim, tids):
    """All formats of one target: `target` is ["-p", PID] or [CORE]."""
    live = target[0] == "-p"
    ran = tool.run("-J", *target)
    if not good(t, ran):
        return None
    report = ran.json()
    check_report(t, report, live)
    check_mallinfo2(t, report, victim)
    check_expectations(t, report, victim)
    check_threads(t, report, tids)

    for name, file in (("malloc_info", "malloc_info.xml"), ("malloc_stats", "malloc_stats.txt")):
        ran = tool.run("--format", name, *target)
        if good(t, ran):
            check_same_text(t, name, ran.out, victim.text(file))
    ran = tool.run("--chunks", "-f", "csv", *target)
    if good(t, ran):
        check_chunks(t, ran.out, report, victim, case.foreign)
    ran = tool.run(*target)
    if good(t, ran):
        check_text(t, ran.out)
    ran = tool.run("-f", "csv", *target)
    if good(t, ran):
        check_csv(t, ran.out, report)
    return report


def check_same_text(t, name, got, want):
    if got == want:
        return
    pairs = zip(got.decode(errors="replace").split("\n"), want.decode().split("\n"))
    for number, (g, w) in enumerate(pairs, 1):
        if g != w:
            t.check(False, f"{name}: line {number}: got {g!r}, want {w!r}")
            return
    t.check(False, f"{name}: {len(got)} bytes, want {len(want)}")


def check_live(t, tool, case, victim):
    # On a busy machine a walk may take longer than a process is stopped by default.
    target = ["-p", victim.pid, "--max-pause", "none"]
    before = thread_states(victim.pid)
    report = check_target(t, tool, target, case, victim, list(before))
    if report is None:
        return None
    t.equal("target.pid", report["target"]["pid"], victim.pid)
    t.equal("target.exe", report["target"]["exe"], victim.exe)
    t.equal("method.mode", report["method"]["mode"], "stopped")
    again = tool.run("-J", *target)
    if good(t, again):
        t.equal("a second report", without_volatile(again.json()), without_volatile(report))
    check_running(t, tool, target[:2], report)
    t.equal("threads afterwards", settled(victim.pid, before), before)
    return report


def check_running(t, tool, target, stopped):
    """A program that sleeps tells the same when it is not stopped."""
    ran = tool.run("-J", "--no-stop", *target)
    if good(t, ran):
        report = ran.json()
        method = report["method"]
        t.equal("not stopped", (method["mode"], method["pause_ns"]), ("running", 0))
        t.check(b"was not stopped" in ran.err, str(ran))
        report["method"] = stopped["method"]
        t.equal("not stopped: report", without_volatile(report), without_volatile(stopped))


def check_core(t, tool, case, victim, core, tids):
    report = check_target(t, tool, [core], case, victim, tids)
    if report is not None:
        t.equal("target.kind", report["target"]["kind"], "core")
        t.equal("target.pid", report["target"]["pid"], victim.pid)
        t.equal("method.mode", report["method"]["mode"], "core")
        t.equal("method.pause_ns", report["method"]["pause_ns"], None)
    return report


def check_dumped(t, tool, case, victim, dump, tids):
    check_core(t, tool, case, victim, dump(victim), tids)


def gcore(victim):
    path = os.path.join(victim.directory, "by-gdb")
    command = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off"]
    command += ["-iex", "set auto-solib-add off", "-p", str(victim.pid), "-ex", f"gcore {path}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                          check=False)
    if not os.path.exists(path):
        raise RuntimeError("gcore failed: " + done.stderr.decode(errors="replace")[-500:])
    return path


def why_no_kernel_core():
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as f:
        pattern = f.read().strip()
    if pattern != "core":
        return f"core_pattern is {pattern!r}, not the plain file name core"
    return None


def kernel_core(victim):
    if why := why_no_kernel_core():
        raise Skip(why)
    core = victim.kernel_core()
    if core is None:
        raise RuntimeError("the kernel wrote no core")
    return core


def names_of(name):
    return [f"{name}/{mode}" for mode in ("oracle", "live", "gcore", "core")]


def run_case(suite, tool, case, name=None, build=None):
    """All modes of a case. `build` is where its victim is, if not with heapwalk."""
    names = names_of(name or case.name)
    if not any(suite.wants(name) for name in names):
        return
    with running(build or tool.build, case) as victim:
        tids = list(thread_states(victim.pid))
        suite.run(names[0], check_oracle, victim)
        suite.run(names[1], check_live, tool, case, victim)
        for name, dump in ((names[2], gcore), (names[3], kernel_core)):
            suite.run(name, check_dumped, tool, case, victim, dump, tids)
