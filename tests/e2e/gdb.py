"""heapwalk in gdb: the same figures as the command alone, number by number, and the same words."""

import json
import os
import re

from cases import Case
from chunk_checks import parse
from gdb_session import Batch, attached, loaded
from modes import gcore, kernel_core, running
from process import Victim, settled, thread_states, workplace
from programs import compiled_victim
from report_checks import check_schema, without_volatile

THREADS = Case("threads", "many-threads", (6, 200))
MIXED = Case("mixed", "mixed")
EXACT = "set heapwalk units bytes"
ALL = "set heapwalk limit unlimited"
TOP_FIGURES = {"SIZE": "bytes", "IN RAM": "resident_bytes", "FREE()": "trimmable_bytes",
               "MALLOC_TRIM": "malloc_trim_bytes"}


def arena_name(index):
    return "-" if index is None else "main" if index == 0 else str(index)


def scalars(place, prefix=""):
    """{name with points: figure} of all that $_heapwalk() can tell."""
    found = {}
    for name, value in place.items():
        if isinstance(value, dict):
            found.update(scalars(value, f"{prefix}{name}."))
        elif not isinstance(value, list):
            found[prefix + name] = value
    return found


def same_words(t, what, got, want):
    """But for how much was read, and how long it took."""
    got, want = (re.sub(r"[\d.]+ .iB read in [\d.]+ \w+", "", " ".join(text.split()))
                 for text in (got, want))
    t.equal(what, got, want)


def section(text, title):
    """A section of a report in text, without its end of line; "" if there is none."""
    found = (s for s in text.split("\n\n") if re.match(rf"\s*{title}\b", s))
    return next(found, "").rstrip("\n")


def table(text):
    """[{heading: cell}]; cells have one blank between words at most, and two between them."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


class Compared:
    """What the commands in gdb say, and what the command alone says meanwhile, of one target."""

    COMMANDS = {
        "summary": "heapwalk", "arenas": "heapwalk arenas", "hist": "heapwalk hist",
        "hist of main": "heapwalk hist --arena 0", "holes": "heapwalk holes 4",
        "check": "heapwalk check", "units": EXACT, "limit": ALL, "exact arenas": "heapwalk arenas",
        "top": "heapwalk top", "tcache": "heapwalk tcache", "chunks": "heapwalk chunks",
        "some chunks": "heapwalk chunks --arena main --limit 5", "threads": "info threads"}
    ALONE = {
        "report": "-J", "summary": "", "arenas": "--all-arenas", "hist": "--histogram",
        "hist of main": "--histogram --arena 0", "holes": "--holes 4", "check": "--check",
        "exact arenas": "--all-arenas -b", "chunks": "--chunks", "listing": "--chunks -f csv"}

    def __init__(self, tool, place, target, options, setup=()):
        self.json_path = os.path.join(place, "by gdb.json")
        commands = {**self.COMMANDS, "json": f"heapwalk json '{self.json_path}'"}
        files = {name: os.path.join(place, name.replace(" ", "-")) for name in self.ALONE}
        options = " ".join(map(str, options))
        shells = [f"shell {tool.path} -q {words} {options} >{files[name]}"
                  for name, words in self.ALONE.items()]
        self.ran = Batch(tool, target, *setup, *commands.values(), *shells)
        self.gdb = dict(zip(commands, self.ran.outputs[len(setup):]))
        self.alone = {}
        for name, path in files.items():
            with open(path, encoding="utf-8") as f:
                self.alone[name] = f.read()
        self.report = json.loads(self.alone["report"])
        self.listing = parse(self.alone["listing"].encode())


def check_words(t, c):
    """Whole texts, or sections of them."""
    summary, alone = c.gdb["summary"], c.alone["summary"]
    # How much of files is in RAM changes as the kernel likes, and with it all shares of RSS.
    for title in ("ARENA", "SIZE", "FREE", "NOTES"):
        same_words(t, f"{title} of the summary", section(summary, title), section(alone, title))
    t.equal("sections", len(summary.split("\n\n")), len(alone.split("\n\n")))
    if c.report["target"]["kind"] == "core":
        same_words(t, "the summary", summary, alone)
    for name, titles in {"arenas": ("ARENA",), "exact arenas": ("ARENA",), "hist": ("SIZE",),
                         "holes": ("HOLES", "PINS")}.items():
        want = "\n\n".join(section(c.alone[name], title) for title in titles)
        t.check(want, f"no {name} in the report")
        t.equal(name, c.gdb[name].rstrip("\n"), want)
    of_main = [section(c.alone["hist of main"], title)
               for title in ("Free chunks of arena main", "Arena main")]
    t.equal("histogram of main", c.gdb["hist of main"].rstrip("\n"), "".join(of_main))
    alone = c.alone["check"]
    same_words(t, "check", c.gdb["check"], alone[alone.index("CHECK"):])
    t.equal("chunks", c.gdb["chunks"], c.alone["chunks"])
    *lines, more = c.gdb["some chunks"].splitlines()
    t.equal("some chunks", lines, c.gdb["chunks"].splitlines()[:6])
    t.check("--limit" in more, more)


def check_json(t, c):
    with open(c.json_path, encoding="utf-8") as f:
        written = json.load(f)
    check_schema(t, written)
    t.equal("JSON", without_volatile(written), without_volatile(c.report))
    t.equal("about JSON", c.gdb["json"], f"Written to {c.json_path}.\n")


def check_tables(t, c):
    tops = [(row["ARENA"], row["TOP"], row["REASON"], *(row[name] for name in TOP_FIGURES))
            for row in table(c.gdb["top"])]
    want = []
    for arena in c.report["arenas"]:
        top = arena["top"]
        figures = ("-" if top[key] is None else str(top[key]) for key in TOP_FIGURES.values())
        want.append((arena_name(arena["index"]), top["address"],
                     (top["reason"] or "-").replace("_", " "), *figures))
    t.equal("tops", tops, want)

    rows = table(c.gdb["tcache"])
    got = [(int(row["TID"]), row["ARENA"], int(row["CHUNKS"]), int(row["BYTES"])) for row in rows]
    want = [(row["tid"], arena_name(row["arena"]), row["tcache_chunks"], row["tcache_bytes"])
            for row in c.report["threads"]]
    t.equal("tcaches", sorted(got), sorted(want))
    threads = re.findall(r"^([* ]) (\d+) .*?(?:LWP |process )(\d+)", c.gdb["threads"], re.M)
    want = {int(tid): f"* {number}" if mark == "*" else number for mark, number, tid in threads}
    t.equal("numbers of threads", {int(row["TID"]): row["THREAD"] for row in rows}, want)


def is_figure(text, value):
    if isinstance(value, float):
        return abs(float(text) - value) < 1e-6
    return text == str(value)


def check_functions(t, tool, c, target, setup=()):
    """Every scalar of the totals, and some others."""
    figures = {**scalars(c.report["totals"]),
               "params.mmap_threshold": c.report["params"]["mmap_threshold"]}
    known = {name: value for name, value in figures.items() if value is not None}
    last = c.report["arenas"][-1]
    ran = Batch(tool, target, *setup, f'output $_heapwalk("bin_bytes", {last["index"]})',
                *(f'output $_heapwalk("{name}")' for name in known))
    of_arena, *got = (text.strip() for text in ran.outputs[len(setup):])
    t.equal("of one arena", of_arena, str(last["bin_bytes"]))
    for (name, value), text in zip(known.items(), got):
        if name not in ("resident_bytes", "utilization"):  # pages of the program come and go
            t.check(is_figure(text, value), f"$_heapwalk({name!r}) is {text}, not {value}")
    for name in [name for name in figures if name not in known][:2]:
        ran = Batch(tool, target, *setup, f'output $_heapwalk("{name}")')
        t.check(ran.status == 1 and f"{name} is not known" in ran.err, str(ran))


def neighbours(c):
    """Chunks that have something special, by what that is, with the one below and the one above
    each in its heap."""
    starts = {int(heap["address"], 16) for arena in c.report["arenas"] for heap in arena["heaps"]}
    found = {}
    for before, chunk, behind in zip([None, *c.listing], c.listing, [*c.listing[1:], None]):
        is_first = not before or before.arena != chunk.arena or chunk.address in starts
        is_last = not behind or behind.arena != chunk.arena or behind.address in starts
        found.setdefault((chunk.state, is_first, is_last),
                         (chunk, None if is_first else before, None if is_last else behind))
    return list(found.values())


def check_find(t, tool, c, target, setup=()):
    """What the listing has, with its neighbours; and the state."""
    chunks = neighbours(c)
    places = [chunk.address + min(20, chunk.bytes - 1) for chunk, _, _ in chunks]
    ran = Batch(tool, target, *setup, EXACT, *(f"heapwalk find {place:#x}" for place in places),
                *(f"output $_heapwalk_state({place:#x})" for place in places))
    texts = ran.outputs[len(setup) + 1:]
    for (chunk, below, above), text, state in zip(chunks, texts, texts[len(chunks):]):
        where = f"{chunk.state} at {chunk.address:#x}"
        t.check(f"  chunk    {chunk.address:#x}, {chunk.bytes}, " in text, f"{where}: {text}")
        t.equal(f"state of {where}", state.strip(), f'"{chunk.state}"')
        for side, other in (("below", below), ("above", above)):
            line = re.search(rf"^  {side}    (.*)$", text, re.M)
            line = line.group(1) if line else ""
            if chunk.state == "mmapped":
                t.equal(f"{side} {where}", line, "")
            else:
                want = f"{other.address:#x}, {other.bytes}, " if other else "nothing"
                t.check(line.startswith(want), f"{side} {where} is {want}: {text}")
    t.check(len(chunks) > 3, "hardly any chunks")


def check_all(t, tool, target, options, setup=()):
    with workplace() as place:
        c = Compared(tool, place, target, options, setup)
        if t.equal(str(c.ran), (c.ran.status, "Traceback" in c.ran.err), (0, False)):
            check_words(t, c)
            check_json(t, c)
            check_tables(t, c)
            check_functions(t, tool, c, target, setup)
            check_find(t, tool, c, target, setup)
    return c


def live(t, tool):
    with running(tool.build, THREADS) as victim:
        before = thread_states(victim.pid)
        c = check_all(t, tool, attached(victim), attached(victim))
        method = c.report["method"]
        t.equal("method", (method["mode"], method["pause_ns"]), ("stopped", 0))
        t.equal("threads afterwards", settled(victim.pid, before), before)


def core_by_gdb(t, tool):
    with running(tool.build, THREADS) as victim:
        core = gcore(victim)
        check_all(t, tool, [victim.exe, core], [core, victim.exe])
        alone, both = (Batch(tool, target, "heapwalk arenas").outputs
                       for target in (["-c", core], [victim.exe, core]))
        t.equal("without its executable", alone, both)


def core_by_kernel(t, tool):
    with running(tool.build, MIXED) as victim, workplace() as place:
        core = kernel_core(victim)
        strange = os.path.join(place, "it's a core', file type or not")
        os.link(core, strange)
        ran = Batch(tool, [victim.exe, strange], "heapwalk tcache")
        t.check(ran.status == 0 and str(victim.pid) in ran.outputs[0], f"a strange name: {ran}")
        check_all(t, tool, [victim.exe, core], [core, victim.exe])


def stripped(t, tool):
    """No symbols but those that every libc has, neither for gdb nor for the command."""
    hide = ["set debug-file-directory /nonexistent", *loaded(tool),
            "set heapwalk options --roots disassembly"]
    with running(tool.build, THREADS) as victim, workplace() as place:
        alone = tool.run("-J", *attached(victim)).json()
        core = gcore(victim)
        for name, begin in {"live": [f"attach {victim.pid}"],
                            "core": [f"file {victim.exe}", f"core-file {core}"]}.items():
            path = os.path.join(place, name + ".json")
            ran = Batch(tool, [], "info line malloc_consolidate", "heapwalk tcache",
                        'output $_heapwalk("bin_bytes")', f"heapwalk json {path}",
                        first=[*hide, *begin])
            told = ran.outputs[0] + ran.err
            t.check("No line number" in told or "not defined" in told, f"not stripped: {told}")
            bins = str(alone["totals"]["bin_bytes"])
            t.equal(f"{name}: bins, {ran}", ran.outputs[2].strip(), bins)
            t.equal(f"{name}: tcaches", len(table(ran.outputs[1])), len(alone["threads"]))
            with open(path, encoding="utf-8") as f:
                report = json.load(f)
            t.equal(f"{name}: roots", report["allocator"]["roots_source"], "disassembly")
            t.equal(f"{name}: arenas", *([arena["in_use_bytes"] for arena in r["arenas"]]
                                         for r in (report, alone)))


def static(t, tool):
    with workplace() as build, workplace() as place:
        compiled_victim(build, "mixed", "-static")
        with Victim(build, place, "mixed") as victim:
            check_all(t, tool, attached(victim), attached(victim))
            core = gcore(victim)
            check_all(t, tool, [victim.exe, core], [core, victim.exe])


def run(suite, tool, _args):
    suite.run("gdb/live", live, tool)
    suite.run("gdb/gcore", core_by_gdb, tool)
    suite.run("gdb/kernel-core", core_by_kernel, tool)
    suite.run("gdb/stripped", stripped, tool)
    suite.run("gdb/static", static, tool)
