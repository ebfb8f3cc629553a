"""What is measured. Each part is a function that returns rows, and the columns that show them."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

from subject import GIB, MIB, NO_LIMIT, Failure, best, in_turn
from table import count, mebibytes, milliseconds, millions, nanoseconds, ratio

ONE_THREAD = "--no-readahead"  # for measuring only: what a second core brings


@dataclass(frozen=True)
class Part:
    name: str
    title: str
    rows: Callable
    columns: tuple


def against(plain, walks, what):
    """Best against best: how heapwalk compares with a plain read of the same bytes."""
    read = best(plain, "seconds")
    pause, whole = best(walks, "pause"), best(walks, "seconds")
    return {"what": what, "bytes": plain[0]["bytes"], "chunks": walks[0]["chunks"],
            "plain": read, "pause": pause, "pause_ratio": pause and pause / read,
            "whole": whole, "whole_ratio": whole / read,
            "cpu_ratio": best(walks, "cpu") / best(plain, "cpu"),
            "rss": max(w["rss"] for w in walks), "rss_beyond": max(w["rss_beyond"] for w in walks),
            "complete": all(w["complete"] for w in walks)}


def compare(bench, kind, target, args, name):
    """A row for heapwalk as it is, and one for a single thread."""
    variants = {name: args, f"{name}, one thread": [ONE_THREAD, *args]}
    ran = in_turn(bench.runs, plain=lambda: bench.subject.plain_read(kind, target),
                  **{what: lambda a=a: bench.subject.walk(*a) for what, a in variants.items()})
    return [against(ran["plain"], ran[what], what) for what in variants]


def rows_of_pause(bench):
    rows = []
    for gib in bench.sizes:
        with bench.subject.filler(int(gib * GIB)) as filler:
            rows += compare(bench, "process", filler.pid, [*NO_LIMIT, "-p", filler.pid],
                            f"{gib:g} GiB")
    return rows


def rows_of_core(bench):
    rows = []
    for gib in bench.sizes:
        if not bench.subject.has_room_for_core(gib * GIB):
            bench.note(f"no row for a core of {gib:g} GiB: there is no room for it")
            continue
        with bench.subject.core(int(gib * GIB)) as core:
            rows += compare(bench, "file", core, [core], f"{gib:g} GiB")
    return rows


def one_heap(bench, what, *filler):
    """A row for one heap, read while it is stopped."""
    with bench.subject.filler(*filler) as victim:
        ran = in_turn(bench.few, plain=lambda: bench.subject.plain_read("process", victim.pid),
                      walk=lambda: bench.subject.walk(*NO_LIMIT, "-p", victim.pid))
    row = against(ran["plain"], ran["walk"], what)
    row["each"] = row["pause"] / row["chunks"]
    row["rate"] = row["chunks"] / row["pause"]
    return row


def rows_of_chunks(bench):
    size = int(min(0.5, bench.sizes[0]) * GIB)
    ways = {"none freed": (0, "bins"), "a third freed": (33, "bins"),
            "a third freed, half of it in fastbins": (33, "fastbins")}
    return [one_heap(bench, f"{chunk:,} B, {what}", size, chunk, *way)
            for chunk in (32, 112, 1024, 65536) for what, way in ways.items()
            if way[1] == "bins" or chunk <= 128]


def rows_of_growth(bench):
    chunk = 96
    most = bench.sizes[0] * GIB / chunk  # no bigger than the others
    rows = [one_heap(bench, f"{n:,} chunks", n * chunk, chunk)
            for n in (10 ** 5, 10 ** 6, 10 ** 7) if n <= most]
    return rows + [one_heap(bench, f"{arenas:,} arena{'s' * (arenas > 1)}", 128 * MIB, chunk, 33,
                            "bins", arenas)
                   for arenas in (1, 8, 64, 512)]


def gaps(bench, filler, *args):
    """One round: the longest gap of the ticking thread while heapwalk runs, and while it does not."""
    filler.order("g")
    ran = bench.subject.walk(*args, "-p", filler.pid)
    gap = filler.order("g")
    time.sleep(min(ran["seconds"], 1))
    return {"gap": gap, "idle": filler.order("g"), "pause": ran["pause"],
            "complete": ran["complete"]}


def rows_of_gap(bench):
    options = (["--max-pause", "100"], ["--no-stop"], ["--snapshot"])
    modes = {"stopped": NO_LIMIT, **{" ".join(option): option for option in options}}
    rows = []
    for gib in bench.sizes:
        with bench.subject.filler(int(gib * GIB)) as filler:
            ran = in_turn(bench.few, fork=lambda f=filler: {"gap": f.order("f")},
                          **{mode: lambda f=filler, a=args: gaps(bench, f, *a)
                             for mode, args in modes.items()})
        fork = best(ran["fork"], "gap")
        rows.append({"what": f"{gib:g} GiB, its own fork()", "gap": fork, "ratio": 1.0})
        for mode in modes:
            gap = best(ran[mode], "gap")
            rows.append({"what": f"{gib:g} GiB, {mode}", "gap": gap, "ratio": gap / fork,
                         "idle": best(ran[mode], "idle"), "pause": best(ran[mode], "pause"),
                         "complete": all(r["complete"] for r in ran[mode])})
    return rows


def rows_of_start(bench):
    heapwalk, subject = bench.subject.heapwalk, bench.subject
    shell = subprocess.Popen(["bash", "--norc", "-s"], stdin=subprocess.PIPE)
    try:
        steps = {"an empty program (true)": ["true"],
                 "heapwalk --version": [heapwalk, "--version"],
                 "heapwalk --dry-run -p": [heapwalk, "--dry-run", "-p", shell.pid],
                 "heapwalk -p, in text": [heapwalk, "-p", shell.pid]}
        ran = in_turn(4 * bench.runs, pause=lambda: subject.walk("-p", shell.pid),
                      **{what: lambda c=c: subject.timed(*c) for what, c in steps.items()})
    finally:
        shell.kill()
        shell.wait()
        shell.stdin.close()
    failed = [what for what in steps for r in ran[what] if r["status"] not in (0, 1)]
    if failed:
        raise Failure(f"{failed[0]} failed")
    rows = [{"what": what, "seconds": best(ran[what], "seconds"), "rss": best(ran[what], "rss")}
            for what in steps]
    return rows + [{"what": "of which the shell stands still", "seconds": best(ran["pause"], "pause")}]


GDB_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts", "heapwalk-gdb.py")
TIMED_IN_GDB = """python
import time
began = time.monotonic()
text = gdb.execute({command!r}, False, True)
print("took", time.monotonic() - began, len(text.splitlines()))
end
"""


def in_gdb(bench, pid, *commands):
    """Seconds that commands take in one session of gdb, and the whole session."""
    script = os.path.join(bench.subject.scratch, "commands.gdb")
    with open(script, "w", encoding="utf-8") as f:
        f.write(f"source {GDB_SCRIPT}\nset heapwalk path {os.path.abspath(bench.subject.heapwalk)}\n")
        f.writelines(TIMED_IN_GDB.format(command=command) for command in commands)
    ran = bench.subject.timed("gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", "-p", pid,
                              "-x", script)
    took = re.findall(r"^took ([\d.]+) (\d+)$", ran["out"], re.M)
    if ran["status"] != 0 or len(took) != len(commands) or any(int(lines) < 10 for _, lines in took):
        raise Failure(f"heapwalk in gdb: status {ran['status']}")
    return {**dict(zip(commands, (float(seconds) for seconds, _ in took))), "session": ran["seconds"]}


def rows_of_gdb(bench):
    if not shutil.which("gdb"):
        bench.note("no gdb here: no row for heapwalk in it")
        return []
    commands = ("heapwalk", "heapwalk arenas", "heapwalk tcache")
    with bench.subject.filler(128 * MIB, 96, 33, "bins", 64) as filler:
        alone = {"alone": lambda: bench.subject.timed(bench.subject.heapwalk, *NO_LIMIT, "-p", filler.pid)}
        ran = in_turn(bench.few, walk=lambda: bench.subject.walk(*NO_LIMIT, "-p", filler.pid), **alone,
                      idle=lambda: in_gdb(bench, filler.pid),
                      summary=lambda: in_gdb(bench, filler.pid, "heapwalk"),
                      gdb=lambda: in_gdb(bench, filler.pid, *commands))
    chunks, command = ran["walk"][0]["chunks"], best(ran["alone"], "seconds")
    rows = [("the command alone", command)]
    rows += [(f"(gdb) {name}", best(ran["gdb"], name)) for name in commands]
    rows += [("gdb -p from its start to its end, doing nothing", best(ran["idle"], "session")),
             ("gdb -p, heapwalk", best(ran["summary"], "session"))]
    return [{"what": what, "chunks": chunks, "seconds": seconds, "ratio": seconds / command}
            for what, seconds in rows]


WHOLE = (("plain read", "plain", milliseconds), ("command", "whole", milliseconds),
         ("ratio", "whole_ratio", ratio), ("in CPU time", "cpu_ratio", ratio),
         ("peak RSS", "rss", mebibytes))
EACH = (("chunks", "chunks", count), ("plain read", "plain", milliseconds),
        ("pause", "pause", milliseconds), ("ratio", "pause_ratio", ratio),
        ("per chunk", "each", nanoseconds), ("peak RSS", "rss", mebibytes))
BEYOND = ("less 16 B per chunk in a tcache or fastbin", "rss_beyond", mebibytes)

PARTS = (
    Part("pause", "A live process of mixed chunks, a third of them freed, against a plain "
         "process_vm_readv() of the same bytes", rows_of_pause,
         (("heap", "what", str), ("chunks", "chunks", count), ("pause", "pause", milliseconds),
          ("ratio", "pause_ratio", ratio), *WHOLE)),
    Part("core", "Cores of the same heaps against one read() of each file, both in the page cache",
         rows_of_core, (("core", "what", str), ("chunks", "chunks", count), *WHOLE)),
    Part("chunks", "Chunks of one size in half a GiB: what each costs", rows_of_chunks,
         (("chunks of", "what", str), *EACH, BEYOND, ("per second", "rate", millions))),
    Part("growth", "As the heap grows, and as the same 128 MiB are spread over more arenas",
         rows_of_growth,
         (("heap", "what", str), *EACH, BEYOND)),
    Part("gap", "What the process feels: the longest gap of a thread that ticks every 100 us",
         rows_of_gap,
         (("heap, and what is done", "what", str), ("longest gap", "gap", milliseconds),
          ("of its fork()", "ratio", ratio), ("gap without us", "idle", milliseconds),
          ("pause as told", "pause", milliseconds))),
    Part("start", "What a small process costs: a shell", rows_of_start,
         (("command", "what", str), ("time", "seconds", milliseconds), ("peak RSS", "rss", mebibytes))),
    Part("gdb", "In gdb: 64 arenas and more than a million chunks", rows_of_gdb,
         (("command", "what", str), ("chunks", "chunks", count), ("time", "seconds", milliseconds),
          ("ratio", "ratio", ratio))),
)
