"""Where everything is written to: pipes, full disks, closed streams."""

import os
import resource
import signal
import subprocess

from cases import Case
from diff import save
from modes import gcore, running
from process import settled, thread_states, workplace
from tool import ESCAPE, without_leak_check

TARGET = Case("target", "many-threads", (12, 100))


def all_forms(victim, place, tool):
    """Whatever heapwalk writes, as arguments."""
    a = save(tool, place, "a.json", "-p", victim.pid)
    pid = ["-p", victim.pid]
    return [
        pid, ["-J", *pid], ["-f", "csv", *pid], ["-f", "malloc_info", *pid], ["-f", "malloc_stats", *pid],
        ["--chunks", *pid], ["--chunks", "-J", *pid], ["--chunks", "-f", "csv", *pid],
        ["--chunks", "-r", *pid], ["--holes", 5, *pid], ["--check", *pid], ["--whatis", "0", *pid],
        ["--dry-run", *pid], ["--dry-run", "-J", *pid], ["--columns", "index", *pid],
        ["--table", "threads", "-J", *pid], ["--table", "holes", "-f", "csv", *pid],
        ["--diff", a, a], ["--diff", a, a, "-J"], ["--diff", a, a, "-f", "csv"],
        *[["--interval", "0.01", "--count", 3, *form, *pid] for form in ([], ["-J"], ["-f", "csv"])],
        ["--columns", "help"], ["--help"], ["-V"],
    ]


def written(tool, args, stdout, **kwargs):
    done = subprocess.run([*tool.command, *map(str, args)], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, env=tool.env, timeout=60, check=False, **kwargs)
    return done.returncode, done.stderr


def close_stdout():
    os.close(1)


def close_all():
    for fd in (0, 1, 2):
        os.close(fd)


def small_files():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))


def outputs(t, tool):
    tool = without_leak_check(tool.build)
    with running(tool.build, TARGET) as victim, workplace() as place, workplace() as there:
        before = thread_states(victim.pid)
        for args in all_forms(victim, place, tool):
            ran = tool.run(*args)
            t.equal(str(ran), ran.status, 0)
            t.check(ESCAPE not in ran.out and ran.out.endswith(b"\n") and b"\r" not in ran.out,
                    f"{args}: control codes in a pipe")
            with open("/dev/full", "wb") as full:
                status, err = written(tool, args, full)
            t.check(status == 2 and b"space" in err, f"{args}: full: {status} {err}")
            status, err = written(tool, args, None, preexec_fn=close_stdout)
            t.check(status == 2 and b"standard output" in err, f"{args}: closed: {status} {err}")
            status, _ = written(tool, args, None, preexec_fn=close_all)
            t.equal(f"{args}: all closed", status, 2)
            check_gone_reader(t, tool, args)
            if not {"-V", "--help"} & set(args):
                path = os.path.join(there, "r.txt")
                form = [] if {"-J", "-f"} & set(map(str, args)) else ["-f", "text"]
                status, err = written(tool, [*form, "-o", path, *args], subprocess.DEVNULL,
                                      preexec_fn=small_files)
                t.check(status == 2 and b"too large" in err, f"{args}: limit: {status} {err}")
                t.equal(f"{args}: files", os.listdir(there), [])
        t.equal("target", settled(victim.pid, before), before)


def check_gone_reader(t, tool, args):
    """Quiet, by the signal that is meant for it; or an error, where that is ignored."""
    for ignored in (False, True):
        reader, writer = os.pipe()
        os.close(reader)
        setting = signal.SIG_IGN if ignored else signal.SIG_DFL
        status, err = written(tool, args, writer, restore_signals=False,
                              preexec_fn=lambda: signal.signal(signal.SIGPIPE, setting))
        os.close(writer)
        if ignored:
            t.check(status == 2 and b"Broken pipe" in err, f"{args}: gone: {status} {err}")
        else:
            t.equal(f"{args}: gone: {err}", (status, b"Broken" in err), (-signal.SIGPIPE, False))


def closed_stderr(t, tool):
    """Nobody to complain to is no reason not to report, nor to write into what was opened instead."""
    with running(tool.build, TARGET) as victim:
        core = gcore(victim)
        size = os.path.getsize(core)
        for args in ([core], ["-J", core], ["--chunks", core], ["-p", victim.pid],
                     ["--snapshot", "-p", victim.pid], ["--chunks", "-p", victim.pid]):
            whole = tool.run(*args).out
            done = subprocess.run([*tool.command, *map(str, args)], stdout=subprocess.PIPE,
                                  env=tool.env, timeout=60, check=False,
                                  preexec_fn=lambda: (os.close(0), os.close(2)))
            t.equal(f"{args}: status", done.returncode, 0)
            t.equal(f"{args}: lines", len(done.stdout.splitlines()), len(whole.splitlines()))
        t.equal("the core", os.path.getsize(core), size)


def run(suite, tool, _args):
    suite.run("scripts/outputs", outputs, tool)
    suite.run("scripts/closed-stderr", closed_stderr, tool)
