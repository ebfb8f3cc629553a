"""A process that a debugger has stopped already: it is read as it is, and stays as it was."""

import json
import os
import re
import shutil
import signal
import subprocess

from dryrun import foretold
from modes import good
from process import Victim, all_in, settled, thread_states, wait_for, workplace
from report_checks import check_schema, without_volatile
from suite import Skip


def in_gdb(tool, victim, place, *runs):
    """Run heapwalk with each of these options from within gdb, which holds the victim. [(status,
    stdout, stderr)], and the states of its threads afterwards."""
    if not shutil.which("gdb"):
        raise Skip("no gdb here")
    out = [os.path.join(place, f"out{i}") for i in range(len(runs))]
    commands = []
    for path, options in zip(out, runs):
        words = " ".join(map(str, options))
        commands += ["-ex", f"shell {tool.path} {words} -p {victim.pid} >{path} 2>{path}.err; "
                            f"echo $? >{path}.status"]
    states = os.path.join(place, "states")
    commands += ["-ex", f"shell cat /proc/{victim.pid}/task/*/status >{states}"]
    subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                    "-iex", "set auto-solib-add off", "-p", str(victim.pid), *commands],
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    results = []
    for path in out:
        with open(path, "rb") as o, open(path + ".err", "rb") as e, open(path + ".status") as s:
            results.append((int(s.read()), o.read(), e.read()))
    with open(states, encoding="utf-8") as f:
        letters = set(re.findall(r"^State:\s+(\S)", f.read(), re.M))
    return results, letters


def by_gdb(t, tool):
    with workplace() as place, Victim(tool.build, place, "many-threads", (12,)) as victim:
        before = thread_states(victim.pid)
        free = tool.run("-J", "-p", victim.pid)
        if not good(t, free):
            return
        runs = (["-J"], ["--all-arenas"], ["-J", "--dry-run"], ["--snapshot"])
        results, letters = in_gdb(tool, victim, place, *runs)
        status, out, err = results[0]
        t.equal(f"status, {err}", status, 0)
        report, want = json.loads(out), free.json()
        check_schema(t, report)
        t.equal("method", [report["method"][k] for k in ("mode", "pause_ns", "stops")],
                ["stopped", 0, 0])
        t.check(any("stood still already, stopped by pid" in f["text"] and "gdb" in f["text"]
                    for f in report["findings"]), f"{report['findings']}")
        t.check(b"stood still already" in err, err)
        for key in ("method", "findings", "finding_counts"):
            report[key] = want[key]
        t.equal("report", without_volatile(report), without_volatile(want))
        t.check(b"stood still already" in results[1][1].split(b"\n\n")[0], results[1][1][:300])
        plan = json.loads(results[2][1])
        t.equal("dry run", (results[2][0], plan["works"], plan["method"]["pause_ns"]),
                (0, True, 0))
        t.equal("snapshot", results[3][0], 2)
        t.check(b"already traced by pid" in results[3][2], results[3][2])
        t.equal("states in gdb", letters, {"t"})
        t.equal("threads afterwards", settled(victim.pid, before), before)


def by_job_control(t, tool):
    """^Z: traced as any other, and stopped afterwards as before."""
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        os.kill(victim.pid, signal.SIGSTOP)
        t.check(wait_for(lambda: all_in(victim.pid, "T")), "SIGSTOP has no effect")
        for options in ((), ("--no-stop",), ("--max-pause", "1")):
            good(t, tool.run("-J", *options, "-p", victim.pid))
            t.check(wait_for(lambda: all_in(victim.pid, "T")), f"not stopped: {thread_states(victim.pid)}")
        foretold(t, tool, "-p", victim.pid)
        os.kill(victim.pid, signal.SIGCONT)
        t.check(wait_for(lambda: not all_in(victim.pid, "T")), "does not run on")


def run(suite, tool, _args):
    suite.run("held/by-gdb", by_gdb, tool)
    suite.run("held/by-job-control", by_job_control, tool)
