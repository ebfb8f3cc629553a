"""Programs that people run, in a state that does not change: with the debug files of this system,
and with all of them hidden.

What they hold is theirs to know. Where they can call mallinfo2(3) they are asked; of the others the
kernel knows the program break and the mappings that malloc got.
"""

import os
import shutil
import subprocess

import hide
from modes import good
from process import mappings, settled, thread_states, workplace
from programs import Program
from report_checks import check_report, check_threads, without_volatile
from suite import Skip
from tool import Tool

PYTHON = "/usr/bin/python3"  # the one that gdb has inside, and the only one sure to be dynamic
# Ends when the figures have come out twice alike: to make and print them takes memory, too.
ASK = """
import ctypes, os
class Info(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in ("arena", "ordblks", "smblks", "hblks", "hblkhd",
                "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
def ask():
    file = os.open("mallinfo2.txt", os.O_RDWR | os.O_CREAT, 0o600)
    before = None
    while True:
        info = mallinfo2()
        text = "".join("%s %20d\\n" % (n, getattr(info, n)) for n, _ in Info._fields_).encode()
        os.pwrite(file, text, 0)
        if text == before:
            break
        before = text
    os.write(1, b"ready\\n")
    os.read(0, 1)
"""
ALLOCATE = """
kept = [bytes(700 + i % 4000) for i in range(30000)]
del kept[::3]
large = [bytes(300000) for i in range(10)]
"""
SHELL = """i=0
while [ $i -lt 3000 ]; do i=$((i+1)); eval "v$i=a_value_of_variable_number_$i"; done
echo ready
read line
"""
NODE = """
globalThis.kept = [];
for (let i = 0; i < 2000; i++) kept.push(Buffer.allocUnsafeSlow(3000 + i));
require("fs").stat(".", () => {
    setInterval(() => {}, 1 << 30);
    setTimeout(() => console.log("ready"), 300);
});
"""


def python(_place):
    return [PYTHON, "-c", ASK + ALLOCATE + "ask()"]


def gdb(place):
    script = os.path.join(place, "script.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write(ASK + ALLOCATE + "ask()")
    return ["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off",
            "-ex", "file /usr/bin/gdb", "-ex", "source " + script]


def bash(_place):
    return ["bash", "--norc", "--noprofile", "-c", SHELL]


def node(_place):
    return ["node", "-e", NODE]


def busybox(_place):
    return [static_busybox(), "sh", "-c", SHELL]


def static_busybox():
    path = shutil.which("busybox")
    if not path:
        raise Skip("no busybox here (Debian: busybox-static)")
    done = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=False)
    if "INTERP" in done.stdout:
        raise Skip("busybox is not static here (Debian: busybox-static)")
    return path


# Name, command, whether libc is a file of its own.
PROGRAMS = [
    ("bash", bash, True),
    ("python3", python, True),
    ("node", node, True),
    ("gdb", gdb, True),
    ("busybox", busybox, False),
]


# ---- what else knows of the heap -----------------------------------------------------------------


def check_break(t, arena, maps):
    """The main arena ends where the kernel says that the break is."""
    pieces = [m for m in maps if m.path == "[heap]"]
    if not t.check(pieces and arena["contiguous"], "the main arena has no [heap]"):
        return
    start, end = pieces[0].start, pieces[-1].end
    first = int(arena["heaps"][0]["address"], 16)
    t.check(start <= first, f"a heap at {first:#x}, the break began at {start:#x}")
    last = first + arena["system_bytes"]
    t.equal("the page where the main arena ends", last + 4095 & ~4095, end)
    if arena["brk"]:  # only symbols tell libc's own idea of it
        t.equal("end of the main arena", last, int(arena["brk"], 16))


def check_heaps(t, arena, maps):
    """The heaps of a thread's arena are writable as far as it says."""
    for heap in arena["heaps"]:
        start = int(heap["address"], 16)
        end = start + heap["mprotect_bytes"]
        inside = [m for m in maps if m.start < end and m.end > start]
        t.check(all(m.permissions.startswith("rw") for m in inside), f"heap {start:#x}: {inside}")
        t.equal(f"heap {start:#x}: bytes",
                sum(min(m.end, end) - max(m.start, start) for m in inside), end - start)
        t.check(heap["bytes"] <= heap["mprotect_bytes"], f"heap {start:#x} is too large")


def check_mallinfo2(t, report, directory):
    """Of those programs that could be asked."""
    path = os.path.join(directory, "mallinfo2.txt")
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as f:
        want = {name: int(value) for name, value in map(str.split, f)}
    for name, value in want.items():
        t.equal(f"mallinfo2.{name}", report["mallinfo2"][name], value)
    return True


# ---- the tests -----------------------------------------------------------------------------------


def check_sources(t, report, symbols):
    allocator = report["allocator"]
    t.equal("allocator", allocator["name"], "glibc")
    if symbols:
        sources = allocator["roots_source"], allocator["layout_source"]
        t.equal("roots_source, layout_source", sources, ("symtab", "dwarf"))
    else:
        t.check(allocator["roots_source"] in ("table", "disassembly", "scan"),
                f"roots_source is {allocator['roots_source']}, though nothing has symbols")
        t.equal("layout_source", allocator["layout_source"], "table")


def check_program(t, tool, program, symbols):
    before = thread_states(program.pid)
    ran = tool.run("-J", "-p", program.pid)
    if not good(t, ran):
        return
    report = ran.json()
    check_report(t, report, True)
    check_threads(t, report, list(before))
    check_sources(t, report, symbols)
    maps = mappings(program.pid)
    check_break(t, report["arenas"][0], maps)
    for arena in report["arenas"][1:]:
        check_heaps(t, arena, maps)
    asked = check_mallinfo2(t, report, program.directory)
    again = tool.run("-J", "-p", program.pid)
    if good(t, again):
        t.equal("a second report", without_volatile(again.json()), without_volatile(report))
    t.equal("threads afterwards", settled(program.pid, before), before)
    t.note(f"{report['totals']['system_bytes'] >> 10} KiB, {len(report['arenas'])} arenas, "
           f"{len(before)} threads, {report['allocator']['roots_source']}"
           + (", agrees with mallinfo2()" if asked else ""))


def everyday(t, tool, command_of, symbols, hiding):
    with workplace() as place:
        command = command_of(place)
        if not shutil.which(command[0]):
            raise Skip(f"no {command[0]} here")
        if symbols and not os.path.isdir(hide.SYSTEM_DEBUG):
            raise Skip("libc's debug file is not installed (Debian: libc6-dbg)")
        if not symbols:  # the target's own view of the files counts, too
            tool, command = Tool(tool.build, prefix=hiding), [*hiding, *command]
        with Program(place, command, stdin=subprocess.PIPE) as program:
            check_program(t, tool, program, symbols)


def run(suite, tool, _args):
    # Not in a user namespace: from there heapwalk could not look into a program in another one.
    there = os.path.isdir(hide.SYSTEM_DEBUG)
    can_hide, hiding = hide.possible(user=False) or not there, []
    if there and can_hide:
        hiding = hide.command([hide.SYSTEM_DEBUG], user=False)
    for name, command_of, dynamic in PROGRAMS:
        if dynamic:
            suite.run(f"everyday/{name}", everyday, tool, command_of, True, hiding)
        if not can_hide:
            suite.skip(f"everyday/{name}-stripped", "only root can hide debug files here")
            continue
        suite.run(f"everyday/{name}-stripped", everyday, tool, command_of, False, hiding)
