"""--no-stop: nothing is done to the process, and what it holds is told all the same."""

import time

from busy import BUSY
from harmless import Ticker
from modes import good, running
from process import Victim, thread_states, workplace
from programs import Program, compiled, tracer_of
from report_checks import check_schema, without_volatile
from tool import calls_of


def not_one_ptrace(t, tool):
    """By what strace sees of heapwalk."""
    with workplace() as place, Victim(tool.build, place, "ticker", (8, 5)) as victim:
        ran, calls = calls_of(tool, place, "-J", "--no-stop", "-p", victim.pid)
        good(t, ran)
        t.check("process_vm_readv" in calls, "strace saw nothing")
        for call in ("ptrace(", "kill(", "process_vm_writev("):
            t.check(call not in calls, f"there is a {call}")


def runs_on(t, tool):
    """Every thread counts on while its heap is read, and none of them is ever traced."""
    with workplace() as place, Ticker(tool.build, place) as ticker:
        process, seen, caught = tool.start("-J", "--no-stop", "-p", ticker.pid), [], 0
        while process.poll() is None:
            caught += any(tracer for _, tracer in thread_states(ticker.pid).values())
            seen.append(ticker.ticks())
            time.sleep(0.005)
        t.equal("status", process.returncode, 0)
        t.equal("times it was traced", caught, 0)
        stood = [k for k, (a, b) in enumerate(zip(seen[0], seen[-1])) if a == b]
        t.check(len(seen) > 2 and not stood, f"{len(seen)} looks, threads {stood} stood still")


def busy_target(t, tool):
    """Half of what is read is changing: that is counted and named, and the sums hold."""
    with running(tool.build, BUSY) as victim:
        for i in range(20):
            ran = tool.run("-J", "--no-stop", "-p", victim.pid, timeout=60)
            if not t.check(ran.status in (0, 1), str(ran)):
                break
            report = ran.json()
            check_schema(t, report)
            t.equal(f"round {i}: complete and status", report["complete"], ran.status == 0)


def traced_by_another(t, tool):
    """A second tracer is refused; a reader is not."""
    with workplace() as place, Victim(tool.build, place, "mixed") as victim:
        free = tool.run("-J", "-p", victim.pid)
        with tracer_of(place, victim.pid) as tracer:
            ran = tool.run("-p", victim.pid)
            t.equal(str(ran), ran.status, 2)
            t.check(f"traced by pid {tracer.pid}".encode() in ran.err, str(ran))
            ran = tool.run("-J", "--no-stop", "-p", victim.pid)
            if good(t, free) and good(t, ran):
                report, want = ran.json(), free.json()
                report["method"] = want["method"]
                t.equal("report", without_volatile(report), without_volatile(want))


def static_program(t, tool):
    """Its control blocks are elsewhere: the main thread's at the beginning of its heap."""
    with workplace() as place:
        program = compiled(place, "threads", "-static", "-pthread")
        with Program(place, [program]) as target:
            stopped = tool.run("-J", "-p", target.pid)
            ran = tool.run("-J", "--no-stop", "-p", target.pid)
            if good(t, stopped) and good(t, ran):
                t.equal("threads", ran.json()["threads"], stopped.json()["threads"])
                held = [row["tcache_chunks"] for row in ran.json()["threads"]]
                t.check(len(held) == 6 and min(held) > 0, f"tcaches hold {held}")


def refused(t, tool):
    for args, why in ((("--no-stop", "/dev/null"), b"a core stands still"),
                      (("--no-stop", "--snapshot", "-p", "1"), b"not both")):
        ran = tool.run(*args)
        t.equal(str(ran), ran.status, 64)
        t.check(why in ran.err, str(ran))


def text(t, tool):
    with workplace() as place, Victim(tool.build, place, "tcache", (7, 7)) as victim:
        ran = tool.run("--no-stop", "-p", victim.pid)
        if good(t, ran):
            t.check(b"not stopped" in ran.out.split(b"\n\n")[0], "the head does not say so")
            t.check(b"the process was not stopped" in ran.err, str(ran))
        for listing in (("--chunks", "-f", "csv"), ("--whatis", "0x1000"), ("--holes", "3")):
            good(t, tool.run("--no-stop", *listing, "-p", victim.pid))


def run(suite, tool, _args):
    suite.run("nostop/not-one-ptrace", not_one_ptrace, tool)
    suite.run("nostop/runs-on", runs_on, tool)
    suite.run("nostop/busy", busy_target, tool)
    suite.run("nostop/traced-by-another", traced_by_another, tool)
    suite.run("nostop/static-program", static_program, tool)
    suite.run("nostop/refused", refused, tool)
    suite.run("nostop/text", text, tool)
