"""--dry-run: what is foretold is what happens, and nothing is done to the process."""

import os
import re

from modes import gcore, good
from process import Victim, wait_for, workplace
from programs import tracer_of
from report_checks import SCHEMA, check_schema
from tool import calls_of, of_nobody

DRY = os.path.join(os.path.dirname(SCHEMA), "dryrun.schema.json")


def foretold(t, tool, *args, works=True):
    ran = tool.run("-J", "--dry-run", *args)
    t.equal(str(ran), ran.status, 0 if works else 2)
    report = ran.json()
    check_schema(t, report, DRY)
    t.equal("works", report["works"], works)
    return report


def comes_true(t, tool):
    with workplace() as place, Victim(tool.build, place, "ticker", (8, 60)) as victim:
        ran = tool.run("-J", "-p", victim.pid)
        if not good(t, ran):
            return
        real = ran.json()
        for options, mode in (((), "stopped"), (("--no-stop",), "running"),
                              (("--snapshot",), "snapshot")):
            report = foretold(t, tool, *options, "-p", victim.pid)
            t.equal("mode", report["method"]["mode"], mode)
            t.equal("threads", report["target"]["threads"], 9)
            for key in ("name", "version", "libc"):
                t.equal(key, report["allocator"][key], real["allocator"][key])
            named = real["allocator"]["roots_source"] == "symtab"
            t.equal("named", report["allocator"]["roots_by"] == "symtab", named)
            size, heap = report["method"]["bytes_to_read"], real["totals"]["resident_bytes"]
            t.check(heap <= size < heap + (4 << 20), f"{size} bytes foretold, {heap} of a heap")
        t.check(all(a["possible"] for a in report["possible"].values()), report["possible"])


def two_passes(t, tool):
    with workplace() as place, Victim(tool.build, place, "ticker", (2, 60)) as victim:
        for limit, passes in (("1", 2), ("5000", 1), ("none", 1)):
            method = foretold(t, tool, "--max-pause", limit, "-p", victim.pid)["method"]
            t.equal(f"passes with {limit}", method["passes"], passes)


def touches_nothing(t, tool):
    """By what strace sees."""
    with workplace() as place, Victim(tool.build, place, "ticker", (4, 5)) as victim:
        ran, calls = calls_of(tool, place, "--dry-run", "-p", victim.pid)
        good(t, ran)
        t.check("openat" in calls, "strace saw nothing")
        t.check("process_vm" not in calls and "smaps" not in calls, "it is read")
        traced = [c for c in re.findall(r"ptrace\(.*", calls) if "PTRACE_SEIZE, 0," not in c]
        t.equal("ptrace of it", traced, [])
        memory = re.findall(r'openat\(AT_FDCWD, "/proc/\d+/mem", [^)]*\) = (\d+)', calls)
        for fd in memory:  # opened to ask whether that is allowed, and closed
            after = calls[calls.index("/mem\""):]
            first = re.search(rf"(\w+)\({fd}\b", after)
            t.check(first and first.group(1) == "close", f"/mem: {first and first.group(0)}")
        t.check(b"Nothing was done" in ran.out, ran.out)


def refused(t, tool):
    """The same reasons as of a real run, and the same status."""
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        stranger = of_nobody(tool, place)
        real = stranger.run("-p", victim.pid)
        t.equal(str(real), real.status, 2)
        t.check(b"belongs to uid 0" in real.err, str(real))
        report = foretold(t, stranger, "-p", victim.pid, works=False)
        why = report["possible"]["read"]["why_not"]
        t.check(why.encode() in real.err, f"{why!r} is not in {real}")
        t.equal("allocator", report["allocator"]["name"], None)
        text = stranger.run("--dry-run", "-p", victim.pid)
        t.equal(str(text), text.status, 2)
        t.check(b"would not work" in text.out and b"sudo" in text.out, text.out)


def traced(t, tool):
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        with tracer_of(place, victim.pid) as tracer:
            report = foretold(t, tool, "-p", victim.pid, works=False)
            t.check(f"traced by pid {tracer.pid}" in report["possible"]["stop"]["why_not"], report)
            t.check(report["possible"]["read"]["possible"], report)
            foretold(t, tool, "--no-stop", "-p", victim.pid)
        t.check(wait_for(lambda: tool.run("--dry-run", "-p", victim.pid).status == 0), "still so")


def cores(t, tool):
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        core = gcore(victim)
        report = foretold(t, tool, core)
        t.equal("kind", report["target"]["kind"], "core")
        t.equal("mode", report["method"]["mode"], "core")
        t.equal("pause", report["method"]["pause_ns"], None)
        t.check(report["method"]["bytes_to_read"] > 1 << 20, report["method"])
        ran = tool.run("--dry-run", core)
        t.check(ran.status == 0 and b"nothing is stopped" in ran.out, ran.out)


def no_answer(t, tool):
    for args, status in ((("-p", "999999999"), 2), (("/dev/null",), 2),
                         (("-f", "csv", "-p", "1"), 64), (("--chunks", "-p", "1"), 64)):
        ran = tool.run("--dry-run", *args)
        t.equal(str(ran), ran.status, status)
        t.equal("output", ran.out, b"")


def run(suite, tool, _args):
    suite.run("dryrun/comes-true", comes_true, tool)
    suite.run("dryrun/two-passes", two_passes, tool)
    suite.run("dryrun/touches-nothing", touches_nothing, tool)
    suite.run("dryrun/refused", refused, tool)
    suite.run("dryrun/traced", traced, tool)
    suite.run("dryrun/cores", cores, tool)
    suite.run("dryrun/no-answer", no_answer, tool)
