"""heapwalk in gdb while a program runs under it: conditions, expressions, the middle of malloc."""

import os
import re
import shutil
import subprocess

from cases import Case
from gdb import MIXED, THREADS, table
from gdb_manners import FIGURE, NAMES
from gdb_session import SCRIPT, Batch, Terminal, attached, loaded
from modes import running
from process import Victim, workplace
from programs import compiled
from suite import Skip

USED = '$_heapwalk("in_use_chunks")'
HERE = ("break seen if number == 3", "run")  # four blocks are there
NO = ("0", "false", "False")


def script_in(place, name, text):
    path = os.path.join(place, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def last(ran):
    return ran.outputs[-1].strip() if ran.outputs else None


# ---- figures in expressions -------------------------------------------------------------------


def conditions(t, tool):
    """A figure in a condition is of that moment."""
    with workplace() as place:
        program = compiled(place, "steps", "-g")
        ran = Batch(tool, [program], *HERE, f"set $base = {USED}", "delete",
                    f"break seen if {USED} >= $base + 9", "continue", "output number")
        t.equal(f"{ran}: block", last(ran), "12")
        freed = 'break seen if $_streq($_heapwalk_state(block), "tcache")'
        ran = Batch(tool, [program], *HERE, "delete", freed, "continue", "output number")
        t.equal(f"{ran}: the first that is freed", last(ran), "20")
        ran = Batch(tool, [program], *HERE, "set var ((unsigned long *)block)[-1] = 0x11",
                    'output $_heapwalk("complete")')
        t.check(last(ran) in NO, f"a heap that gdb has damaged: {last(ran)}, {ran}")


def read_once(t, tool):
    """All that is asked at one stop is answered by one report."""
    with workplace() as place:
        program, log = compiled(place, "steps", "-g"), os.path.join(place, "runs")
        counting = script_in(place, "counting", f'echo "$@" >>{log}; exec {tool.path} "$@"')
        first = [f"source {SCRIPT}", f"set heapwalk path {counting}"]
        asked = (f"output {USED}", FIGURE, "heapwalk tcache", "heapwalk top")
        moved = "set var ((unsigned long *)block)[0] = 1"
        sessions = ((1, asked), (2, (*asked, "next", "next", *asked)), (2, (*asked, moved, *asked)))
        for runs, lines in sessions:
            ran = Batch(tool, [program], *HERE, *lines, first=first)
            t.equal(f"{ran}: runs", len(lines_of(log)), runs)
            os.unlink(log)


def other_threads_run(t, tool):
    """gdb looks at a condition as soon as one thread has come to the breakpoint."""
    with workplace() as place:
        program = compiled(place, "steps", "-g", "-pthread", "-DSPIN")
        ran = Batch(tool, [program], *HERE, f"set $base = {USED}", "delete",
                    f"break seen if {USED} >= $base + 9", "continue", "heapwalk tcache",
                    "thread 1", "output number")
        t.equal(f"{ran}: block", last(ran), "12")
        t.equal("threads", len(table(ran.outputs[-3])), 2)


def expressions(t, tool):
    """All that has an address."""
    within = {"block": 0, "*block": 0, "$rdi": 0, "first": 0, "(long)block": 0, "block->text": 8,
              "&block->text[3]": 11}
    words = {"main": "main+0", "seen": "seen+0", "$pc": "seen", "$sp": "stack"}
    with workplace() as place:
        program = compiled(place, "steps", "-g")
        ran = Batch(tool, [program], *HERE, "output/x (long)block", "output/x (long)block->next",
                    "heapwalk find block->next", *(f"heapwalk find {e}" for e in (*within, *words)))
        t.equal(str(ran), ran.status, 0)
        block, following, found, *texts = ran.outputs[2:]
        t.check(found.startswith(f"{following.strip()} is in the heap"), found)
        for (expression, offset), text in zip(within.items(), texts):
            want = f"{int(block, 16) + offset:#x} is in the heap\n"
            t.check(text.startswith(want), f"{expression}: {text}")
        for (expression, word), text in zip(words.items(), texts[len(within):]):
            t.check(word in text, f"{expression}: {text}")


# ---- the process is left alone ----------------------------------------------------------------


def in_malloc(t, tool):
    """It says so, also where libc has no symbols of its own; nothing else is selected by that."""
    words = "Thread 1 (malloc) stands in the middle of malloc"
    commands = ("heapwalk", "heapwalk top", "heapwalk check", "heapwalk chunks --limit 2",
                "heapwalk find first", "up", "heapwalk tcache", "frame")
    with workplace() as place:
        program = compiled(place, "steps", "-g")
        for hidden in ([], ["set debug-file-directory /nonexistent"]):
            inside = [*loaded(tool), *hidden, *HERE, "delete", "break malloc", "continue"]
            ran = Batch(tool, [program], *commands, first=inside)
            for line, text in zip(commands, ran.outputs):
                if line.startswith("heapwalk"):
                    t.check(words in text and "half-made" in text, f"{line}: {text[-200:]} {ran}")
            t.check(re.match(r"#1 .* main \(\)", last(ran)), last(ran))
        ran = Batch(tool, [program], "heapwalk", first=[*loaded(tool), *HERE])
        t.check("middle of malloc" not in last(ran), last(ran))


def in_the_act(t, tool):
    """Threads that allocate and free all the time."""
    caught = 0
    with workplace() as place, Victim(tool.build, place, "busy", (4,)) as victim:
        for _ in range(5):
            ran = Batch(tool, attached(victim), "heapwalk top", "thread")
            t.check(last(ran).startswith("[Current thread is 1 "), last(ran))
            caught += "the middle of malloc" in ran.outputs[0]
    t.note(f"{caught} of 5 times in the middle of malloc")
    t.check(caught > 0, "never caught in the act: this shows nothing")


def nothing_called(t, tool):
    """No instruction of the program is run: it is where it was, by the kernel's account."""
    def switches(pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return re.findall(r"ctxt_switches:\s+(\d+)", f.read())

    arguments = {"find": " $sp", "json": " /dev/null"}
    with running(tool.build, MIXED) as victim, Terminal(tool, attached(victim)) as gdb:
        before = switches(victim.pid)
        for name in NAMES:
            gdb.ask(f"heapwalk {name}{arguments.get(name, '')}")
        for line in (FIGURE, 'print $_heapwalk_state("only in gdb")', "heapwalk find malloc(3)",
                     "heapwalk"):
            gdb.ask(line)
        t.equal("context switches", switches(victim.pid), before)


def passed_on(t, tool):
    """Where only its tracer may open the memory of a process, the command reads by that right."""
    if not shutil.which("strace"):
        raise Skip("no strace here")
    env = {"ASAN_OPTIONS": "detect_leaks=0"}
    with running(tool.build, MIXED) as victim, workplace() as place:
        log = os.path.join(place, "log")
        confined = script_in(place, "confined",
                             f"exec strace -f -o {log} -P /proc/{victim.pid}/mem "
                             f'-e inject=openat:error=EACCES {tool.path} --no-sandbox "$@"')
        ran = Batch(tool, attached(victim), "heapwalk tcache", f"set heapwalk path {confined}",
                    "heapwalk tcache", env=env)
        t.equal(f"{ran}: tcaches", ran.outputs[2], ran.outputs[0])
        t.check("INJECTED" in "".join(lines_of(log)), "nothing was refused")
        with running(tool.build, THREADS) as other, open(f"/proc/{other.pid}/mem", "rb") as memory:
            done = subprocess.run([confined, "-p", str(victim.pid)], pass_fds=(memory.fileno(),),
                                  check=False, capture_output=True, env={**tool.env, **env})
        t.equal(f"by that of another process: {done.stderr}", done.returncode, 2)


# ---- other processes, other heaps -------------------------------------------------------------


def two_processes(t, tool):
    """The selected one, and its threads by their full numbers."""
    with running(tool.build, MIXED) as one, running(tool.build, THREADS) as two:
        ran = Batch(tool, attached(one), "add-inferior", "inferior 2", f"attach {two.pid}",
                    "heapwalk tcache", f"output {USED}", "inferior 1", "heapwalk tcache",
                    f"output {USED}")
        for label, victim, tcache, used in (("2.1", two, 3, 4), ("1.1", one, 6, 7)):
            text = ran.outputs[tcache]
            t.check(f"* {label} " in text and str(victim.pid) in text, text + str(ran))
            want = tool.run("-J", *attached(victim)).json()["totals"]["in_use_chunks"]
            t.equal(f"in use of {label}", ran.outputs[used].strip(), str(want))


def damaged(t, tool):
    """`check` fails where something is damaged; other commands show it."""
    with running(tool.build, Case("smashed", "smashed", ("grow",))) as victim:
        ran = Batch(tool, attached(victim), "heapwalk check")
        said = "BROKEN" in last(ran) and "FINDINGS" in last(ran) and "damaged" in ran.err
        t.check(ran.status == 1 and said, last(ran) + str(ran))
        ran = Batch(tool, attached(victim), "heapwalk arenas", "heapwalk",
                    'output $_heapwalk("complete")')
        t.equal(str(ran), ran.status, 0)
        for text, word in zip(ran.outputs, ("FINDINGS", "PARTIAL")):
            t.check(word in text, text)
        t.check(last(ran) in NO, f"complete: {last(ran)}")


def run(suite, tool, _args):
    tests = {"conditions": conditions, "read-once": read_once,
             "other-threads-run": other_threads_run, "expressions": expressions,
             "in-malloc": in_malloc, "in-the-act": in_the_act, "nothing-called": nothing_called,
             "passed-on": passed_on, "two-processes": two_processes, "damaged": damaged}
    for name, test in tests.items():
        suite.run(f"gdb/{name}", test, tool)
