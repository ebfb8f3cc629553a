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
        runs = (["-J"], ["--all-arenas"], ["-J", "--dry-run"], ["--snapshot"], ["-J", "--no-stop"])
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
        running = json.loads(results[4][1])
        t.equal("not stopped", (results[4][0], running["method"]["mode"]), (0, "running"))
        t.check(any("stood still already" in f["text"] for f in running["findings"]),
                f"{running['findings']}")
        t.equal("states in gdb", letters, {"t"})
        t.equal("threads afterwards", settled(victim.pid, before), before)


def stop(t, victim):
    os.kill(victim.pid, signal.SIGSTOP)
    t.check(wait_for(lambda: all_in(victim.pid, "T")), "SIGSTOP has no effect")


def by_job_control(t, tool):
    """^Z: stopped afterwards as before. Traced as any other, where it is to be stopped."""
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        stop(t, victim)
        for options in ((), ("--no-stop",), ("--max-pause", "1")):
            good(t, tool.run("-J", *options, "-p", victim.pid))
            t.check(wait_for(lambda: all_in(victim.pid, "T")),
                    f"not stopped: {thread_states(victim.pid)}")
            t.equal("dry run", foretold(t, tool, *options, "-p", victim.pid)["target"]["stopped_by"],
                    "signal")
        text = tool.run("--dry-run", "-p", victim.pid).out
        t.check(b"a signal has stopped it already" in b" ".join(text.split()), text)
        os.kill(victim.pid, signal.SIGCONT)
        t.check(wait_for(lambda: not all_in(victim.pid, "T")), "does not run on")
        t.equal("dry run", foretold(t, tool, "-p", victim.pid)["target"]["stopped_by"], None)


def but_holders(report):
    """Who has locked an arena the registers of threads tell, which need not be read."""
    return [{**row, "held_by": None} for row in report["arenas"]]


def in_the_act(t, tool):
    """Stopped inside malloc: its arenas are locked, but nothing of them moves, however they are read; and to
    try again does not help."""
    ways = (("--no-stop",), ("--max-pause", "1"), ("--max-pause", "none"))
    locked = 0
    with workplace() as place, Victim(tool.build, place, "busy", (4,)) as victim:
        for _ in range(10):
            stop(t, victim)
            reports = [tool.run("-J", *way, "-p", victim.pid).json() for way in ways]
            for way, report in zip(ways, reports):
                check_schema(t, report)
                t.check("moved" not in report["finding_counts"], f"{report['findings']}")
                t.check(not any(row["moved"] for row in report["arenas"]), f"{way}: moved")
                t.equal(f"{way}: arenas", but_holders(report), but_holders(reports[-1]))
                for f in report["findings"]:
                    t.check("was locked" not in f["text"] or "kill -CONT" in f["text"], f["text"])
            locked += any(row["locked"] for row in reports[0]["arenas"])
            os.kill(victim.pid, signal.SIGCONT)
    t.note(f"{locked} of 10 times an arena was locked")
    t.check(locked > 0, "never caught in the act: this shows nothing")


def runs_on(t, tool):
    """Somebody lets it run in the middle: it is read again, as one that runs."""
    with workplace() as place, Victim(tool.build, place, "lopsided", (64, 2)) as victim:
        for _ in range(5):
            stop(t, victim)
            process = tool.start("-J", "--no-stop", "-p", victim.pid)
            os.kill(victim.pid, signal.SIGCONT)
            t.check(process.wait(timeout=60) in (0, 1), "no report")
        ran = tool.run("-J", "--no-stop", "-p", victim.pid)
        t.check(ran.status in (0, 1), str(ran))


def frozen(t, tool):
    """In a control group that is frozen (version 1: docker pause) no thread stops; nothing of the heap
    changes, and thread pointers are found all the same."""
    group = f"/sys/fs/cgroup/freezer/heapwalk-e2e-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError as why:
        raise Skip("no control groups (version 1) can be made here") from why

    def write(file, value):
        with open(os.path.join(group, file), "w", encoding="ascii") as f:
            f.write(str(value))

    try:
        with workplace() as place, Victim(tool.build, place, "many-threads", (6, 50)) as victim:
            free = tool.run("-J", "-p", victim.pid).json()
            write("cgroup.procs", victim.pid)
            write("freezer.state", "FROZEN")
            t.check(wait_for(lambda: all_in(victim.pid, "D")), "it is not frozen")
            try:
                for options in ((), ("--max-pause", "none")):
                    ran = tool.run("-J", *options, "-p", victim.pid)
                    if not good(t, ran):
                        continue
                    t.check(b"7 threads did not stop in time" in ran.out, "not a word of it")
                    for key in ("totals", "arenas", "threads"):
                        t.equal(key, ran.json().get(key), free.get(key))
            finally:
                write("freezer.state", "THAWED")
    finally:
        os.rmdir(group)


def run(suite, tool, _args):
    suite.run("held/by-gdb", by_gdb, tool)
    suite.run("held/by-job-control", by_job_control, tool)
    suite.run("held/in-the-act", in_the_act, tool)
    suite.run("held/runs-on", runs_on, tool)
    suite.run("held/frozen", frozen, tool)
