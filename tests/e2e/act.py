"""Threads that stand in malloc, and what glibc says before it aborts: who, where, and which arena, as the
victims know it; with the libc's symbols and without."""

import os
import re
import signal
import subprocess

import hide
from cases import Case
from modes import gcore, kernel_core, running, why_no_kernel_core
from process import wait_for, workplace
from programs import compiled_victim
from report_checks import check_schema
from suite import Skip
from tool import Tool

MISTAKES = ("twice", "text", "top", "size", "assertion")
LOCKED = ("text", "top", "size")  # glibc has the arena's lock when it notices them
GDB_FRAME = re.compile(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\S+) \(")


def tools(tool):
    """With the symbols that there are, and without any debug file."""
    found = [tool]
    if os.path.isdir(hide.SYSTEM_DEBUG) and hide.possible(user=False):
        found.append(Tool(tool.build, prefix=hide.command([hide.SYSTEM_DEBUG], user=False)))
    return found


def arena_index(report, address):
    """Of an address as a victim writes it; (nil) is the main arena."""
    if address == "(nil)":
        return 0
    [found] = [a["index"] for a in report["arenas"] if a["address"] == address]
    return found


def expected(report, victim):
    """{tid: what in_malloc has to say of it}; None for those that are not in malloc."""
    found = {int(tid): None for (tid,) in victim.expectations("idle")}
    for word in ("holds", "crashes"):
        for tid, entry, address in victim.expectations(word):
            index = arena_index(report, address)
            found[int(tid)] = [entry, index, None, index]
    for tid, entry, address in victim.expectations("waits"):
        index = arena_index(report, address)
        held = found[int(tid)][3] if int(tid) in found else None  # by itself, maybe
        found[int(tid)] = [entry, index, index, held]
    return found


def in_malloc(row):
    said = row["in_malloc"]
    return said and [said["entry"], said["works_in_arena"], said["waits_for_arena"],
                     said["holds_arena"]]


def check_threads(t, report, victim):
    want = expected(report, victim)
    rows = {row["tid"]: row for row in report["threads"]}
    for tid, said in want.items():
        t.equal(f"thread {tid}", in_malloc(rows[tid]), said)
    others = [row for tid, row in rows.items() if tid not in want and row["in_malloc"]]
    t.equal("other threads in malloc", others, [])
    held = {said[3]: [tid] for tid, said in want.items() if said and said[3] is not None}
    for arena in report["arenas"]:
        t.equal(f"arena {arena['index']}", (arena["locked"], arena["held_by"]),
                (arena["index"] in held, held.get(arena["index"], [])))


def check_text(t, out, report):
    """A line for each of them, and the verb that it takes."""
    lines = {int(line.split()[0]): line for line in out.decode().splitlines()
             if re.match(r" +\d+ in \w", line)}
    for row in report["threads"]:
        said = row["in_malloc"]
        if not t.equal(f"line of thread {row['tid']}", row["tid"] in lines, said is not None) or not said:
            continue
        line = lines[row["tid"]]
        for key, verb in (("waits_for_arena", "waits for"), ("holds_arena", "locked")):
            t.equal(f"{verb!r} in {line!r}", verb in line, said[key] is not None)


def check_target(t, tool, target, victim):
    for each in tools(tool):
        ran = each.run("-J", *target)
        if not t.check(ran.status in (0, 1), str(ran)):
            continue
        report = ran.json()
        check_schema(t, report)
        check_threads(t, report, victim)
        ran = each.run(*target)
        check_text(t, ran.out, report)


def calls_by_gdb(exe, core, tid):
    """The names of the functions that a thread of a core is in, as gdb sees them."""
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", exe, core, "-ex",
         "thread apply all -q bt"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False)
    found, mine = [], False
    for line in done.stdout.splitlines():
        if line.startswith("Thread"):
            mine = f"LWP {tid})" in line
        elif mine and (frame := GDB_FRAME.match(line)):
            found.append(frame[1])
    return found


def check_functions(t, report, exe, core):
    """gdb finds the same functions, where it knows their names."""
    for row in report["threads"]:
        said = row["in_malloc"]
        if said and said["function"]:
            calls = calls_by_gdb(exe, core, row["tid"])
            if "_int_malloc" in calls or "_int_free" in calls:
                t.check(said["function"] in calls or f"__GI___libc_{said['function']}" in calls,
                        f"{said['function']} is not among {calls}")


# ---- locks ---------------------------------------------------------------------------------------


def locks(t, tool, case, build=None):
    with running(build or tool.build, case) as victim:
        check_target(t, tool, ["--max-pause", "none", "-p", victim.pid], victim)
        check_target(t, tool, ["--snapshot", "-p", victim.pid], victim)
        ran = tool.run("-J", "--no-stop", "-p", victim.pid)
        if t.check(ran.status in (0, 1), str(ran)):  # no registers are known: only that
            t.equal("not stopped", [r["in_malloc"] for r in ran.json()["threads"] if r["in_malloc"]],
                    [])
        check_target(t, tool, [gcore(victim)], victim)
        core = kernel_core(victim)
        check_target(t, tool, [core], victim)
        check_functions(t, tool.run("-J", core).json(), victim.exe, core)


def static_locks(t, tool, case):
    with workplace() as place:
        compiled_victim(place, "act", "-static")
        locks(t, tool, case, place)


# ---- the end -------------------------------------------------------------------------------------


def die(victim):
    """Have it do what kills it; its core."""
    if why := why_no_kernel_core():
        raise Skip(why)
    os.kill(victim.pid, signal.SIGUSR1)
    victim.process.wait(timeout=60)
    names = [os.path.join(victim.directory, name) for name in ("core", f"core.{victim.pid}")]
    return next(name for name in names if os.path.exists(name))


def crash(t, tool):
    """It dies in malloc, of a signal."""
    with running(tool.build, Case("crash", "act", ("crash",))) as victim:
        core = die(victim)
        check_target(t, tool, [core], victim)
        report = tool.run("-J", core).json()
        check_functions(t, report, victim.exe, core)
        [[tid, _, _]] = victim.expectations("crashes")
        ended = report["target"]["ended"]
        t.equal("ended", (ended["signal"], ended["name"], ended["tid"], ended["code"]),
                (11, "SIGSEGV", int(tid), 2))  # SEGV_ACCERR
        t.equal("in a page that may not be read", int(ended["address"], 16) >> 24,
                int(victim.expectations("crashes")[0][2], 16) >> 24)
        t.equal("abort", report["abort"], None)
        head = tool.run(core).out.decode().split("\n\n", maxsplit=1)[0]
        t.check(f"SIGSEGV (thread {tid}, address {ended['address']})" in " ".join(head.split()), head)


def check_abort(t, tool, target, victim, mistake, signalled):
    message = victim.text("stderr.txt").decode().strip()
    [[tid, entry, address]] = victim.expectations("aborts")
    for each in tools(tool):
        ran = each.run("-J", *target)
        if not t.check(ran.status in (0, 1), str(ran)):
            continue
        report = ran.json()
        check_schema(t, report)
        index = None if entry == "-" else arena_index(report, address)
        t.equal("abort", report["abort"], {"message": message, "tid": int(tid), "arena": index,
                                           "signal": 6 if signalled else None})
        holds = index if mistake in LOCKED else None
        for row in report["threads"]:
            mine = row["tid"] == int(tid) and entry != "-"
            t.equal(f"thread {row['tid']}", in_malloc(row),
                    [entry, index, None, holds] if mine else None)
        t.equal("notes that excuse it", [f for f in report["findings"] if "half done" in f["text"]],
                [])
        text = " ".join(each.run(*target).out.decode().split())
        t.check(f"ABORTED: {message} (glibc's last words, thread {tid}" in text, text[:600])


def aborted(t, tool, mistake):
    with running(tool.build, Case(mistake, "aborts", (mistake,))) as victim:
        core = die(victim)
        check_abort(t, tool, [core], victim, mistake, True)
        check_functions(t, tool.run("-J", core).json(), victim.exe, core)


def caught(t, tool, mistake):
    """The handler of SIGABRT sleeps: it can be looked at where it stands."""
    with running(tool.build, Case(mistake, "aborts", (mistake, "caught"))) as victim:
        os.kill(victim.pid, signal.SIGUSR1)
        wait_for(lambda: victim.text("stderr.txt").endswith(b"\n"), 20)
        wait_for(lambda: tool.run("-J", "-p", victim.pid).json()["abort"], 20)
        check_abort(t, tool, ["-p", victim.pid], victim, mistake, False)
        check_abort(t, tool, [gcore(victim)], victim, mistake, False)


def run(suite, tool, _args):
    suite.run("act/held", locks, tool, Case("held", "act", ("held",)))
    suite.run("act/self", locks, tool, Case("self", "act", ("self",)))
    suite.run("act/static", static_locks, tool, Case("held", "act", ("held",)))
    suite.run("act/crash", crash, tool)
    for mistake in MISTAKES:
        suite.run(f"act/aborted/{mistake}", aborted, tool, mistake)
        suite.run(f"act/caught/{mistake}", caught, tool, mistake)
