"""heapwalk in gdb: the same figures as the command alone, and gdb's manners."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

from cases import Case
from chunk_checks import parse
from gdb_session import SCRIPT, Batch, Terminal, children, loaded
from modes import gcore, kernel_core, running
from process import Victim, settled, thread_states, untraced, wait_for, workplace
from programs import compiled, compiled_victim
from report_checks import check_schema, without_volatile
from suite import Skip

THREADS = Case("threads", "many-threads", (6, 200))
MIXED = Case("mixed", "mixed")
NAMES = ("arenas", "check", "chunks", "find", "hist", "holes", "json", "tcache", "top")
ESCAPE = "\x1b"
EXACT = "set heapwalk units bytes"
ALL = "set heapwalk limit unlimited"


# ---- the same figures as the command's ---------------------------------------------------------------


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
    """But for how long it took."""
    got, want = (re.sub(r"[\d.]+ .iB read in [\d.]+ \w+", "", " ".join(text.split())) for text in (got, want))
    t.equal(what, got, want)


def section(text, title):
    """A section of a report in text."""
    return next((s for s in text.split("\n\n") if re.match(rf"\s*{title}\b", s)), None)


def table(text):
    """[{heading: cell}]; cells have one blank between words at most, and two between them."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


class Compared:
    """What the commands in gdb say, and what the command alone says meanwhile, of one target."""

    COMMANDS = ("heapwalk", "heapwalk arenas", "heapwalk hist", "heapwalk hist --arena 0", "heapwalk holes 4",
                "heapwalk check", EXACT, ALL, "heapwalk arenas", "heapwalk top", "heapwalk tcache",
                "heapwalk chunks", "heapwalk chunks --arena main --limit 5")

    def __init__(self, tool, place, target, options, setup=()):
        self.place = place
        files = iter(range(100))

        def alone(*words):
            path = os.path.join(place, f"alone{next(files)}")
            words = " ".join([tool.path, "-q", *words, *map(str, options)])
            return path, f"shell {words} >{path}"

        self.json_path = os.path.join(place, "by gdb.json")
        paths, shells = zip(alone("-J"), alone(), alone("--all-arenas"), alone("--histogram"),
                            alone("--histogram", "--arena", "0"), alone("--holes", "4"), alone("--check"),
                            alone("--all-arenas", "-b"), alone("--chunks"), alone("--chunks", "-f", "csv"))
        self.ran = Batch(tool, target, *setup, *self.COMMANDS, f"heapwalk json '{self.json_path}'",
                         "info threads", *shells)
        outputs = self.ran.outputs[len(setup):]
        (self.summary, self.arenas, self.hist, self.hist_of_main, self.holes, self.check, _, _, self.exact_arenas,
         self.top, self.tcache, self.chunks, self.some_chunks, self.said, self.threads) = outputs[:15]
        texts = []
        for path in paths:
            with open(path, encoding="utf-8") as f:
                texts.append(f.read())
        report, *self.alone, csv = texts
        self.report, self.listing = json.loads(report), parse(csv.encode())


def check_words(t, c):
    """Whole texts, or sections of them."""
    summary, arenas, hist, hist_of_main, holes, check, exact_arenas, chunks = c.alone
    # How much of files is in RAM changes as the kernel likes, and with it all shares of RSS.
    for title in ("ARENA", "SIZE", "FREE", "NOTES"):
        same_words(t, f"{title} of the summary", str(section(c.summary, title)), str(section(summary, title)))
    t.equal("sections", len(c.summary.split("\n\n")), len(summary.split("\n\n")))
    if c.report["target"]["kind"] == "core":
        same_words(t, "the summary", c.summary, summary)
    t.equal("arenas", c.arenas.rstrip(), section(arenas, "ARENA").rstrip())
    t.equal("arenas in bytes", c.exact_arenas.rstrip(), section(exact_arenas, "ARENA").rstrip())
    t.equal("histogram", c.hist.rstrip(), section(hist, "SIZE").rstrip())
    of_main = section(hist_of_main, "Free chunks of arena main") or section(hist_of_main, "Arena main")
    t.equal("histogram of main", c.hist_of_main.rstrip(), of_main.rstrip())
    t.equal("holes", c.holes.rstrip(), (section(holes, "HOLES") + "\n\n" + section(holes, "PINS")).rstrip())
    same_words(t, "check", c.check, check[check.index("CHECK"):])
    t.equal("chunks", c.chunks, chunks)


def check_figures(t, c):
    """Each number in JSON and in tables."""
    with open(c.json_path, encoding="utf-8") as f:
        written = json.load(f)
    check_schema(t, written)
    t.equal("JSON", without_volatile(written), without_volatile(c.report))
    t.equal("about JSON", c.said, f"Written to {c.json_path}.\n")
    top = [(row["ARENA"], row["TOP"], row["SIZE"], row["IN RAM"], row["FREE()"], row["MALLOC_TRIM"], row["REASON"])
           for row in table(c.top)]
    t.equal("tops", top, [
        ("main" if a["index"] == 0 else str(a["index"]), a["top"]["address"],
         *("-" if a["top"][key] is None else str(a["top"][key])
           for key in ("bytes", "resident_bytes", "trimmable_bytes", "malloc_trim_bytes")),
         (a["top"]["reason"] or "-").replace("_", " ")) for a in c.report["arenas"]])
    rows = table(c.tcache)
    t.equal("tcaches", sorted((int(row["TID"]), row["ARENA"], int(row["CHUNKS"]), int(row["BYTES"]))
                              for row in rows),
            sorted((row["tid"], "-" if row["arena"] is None else "main" if row["arena"] == 0 else str(row["arena"]),
                    row["tcache_chunks"], row["tcache_bytes"]) for row in c.report["threads"]))
    numbers = {int(tid): number for number, tid in re.findall(r"^[* ] (\d+) .*?(?:LWP |process )(\d+)", c.threads, re.M)}
    t.equal("numbers of threads", {int(row["TID"]): row["THREAD"].lstrip("* ") for row in rows}, numbers)
    marked = [row["THREAD"] for row in rows if row["THREAD"].startswith("*")]
    t.equal("the selected thread", marked, ["* " + re.search(r"^\* (\d+)", c.threads, re.M).group(1)])
    lines = c.some_chunks.splitlines()
    t.equal("some chunks", lines[:-1], c.chunks.splitlines()[:6])
    t.check("--limit" in lines[-1], lines[-1])


def check_functions(t, tool, c, target, setup=()):
    """Every scalar of the totals, and some of one arena."""
    known = {**scalars(c.report["totals"]), "params.mmap_threshold": c.report["params"]["mmap_threshold"]}
    unknown = [name for name, value in known.items() if value is None]
    known = {name: value for name, value in known.items() if value is not None}
    asked = [f'output $_heapwalk("{name}")' for name in known]
    last = len(c.report["arenas"]) - 1
    ran = Batch(tool, target, *setup, f'output $_heapwalk("bin_bytes", {last})', *asked)
    got = [text.strip() for text in ran.outputs[len(setup):]]
    t.equal("of one arena", got.pop(0), str(c.report["arenas"][last]["bin_bytes"]))
    for name, text in zip(known, got):
        value = known[name]
        if name in ("resident_bytes", "utilization"):
            continue  # pages of the program's own come and go
        t.check(text == str(int(value)) if not isinstance(value, float) else abs(float(text) - value) < 1e-6,
                f"$_heapwalk({name!r}) is {text}, not {value}")
    for name in unknown[:2]:
        ran = Batch(tool, target, *setup, f'output $_heapwalk("{name}")')
        t.check(ran.status == 1 and f"{name} is not known" in ran.err, str(ran))


def some_of(c):
    """Chunks that have something special, by what that is, with the one before and the one behind each in
    its heap."""
    starts = {int(heap["address"], 16) for arena in c.report["arenas"] for heap in arena["heaps"]}
    found = {}
    for before, chunk, behind in zip([None, *c.listing], c.listing, [*c.listing[1:], None]):
        below = before if before and before.arena == chunk.arena and chunk.address not in starts else None
        above = behind if behind and behind.arena == chunk.arena and behind.address not in starts else None
        kind = (chunk.state, below is None, above is None)
        found.setdefault(kind, (chunk, below, above))
    return found.values()


def check_find(t, tool, c, target, options, setup=()):
    """What the listing has, with its neighbours; and the state."""
    chunks = list(some_of(c))
    places = [chunk.address + min(20, chunk.bytes - 1) for chunk, _, _ in chunks]
    ran = Batch(tool, target, *setup, EXACT, *(f"heapwalk find {place:#x}" for place in places),
                *(f"output $_heapwalk_state({place:#x})" for place in places))
    outputs = ran.outputs[len(setup) + 1:]
    for (chunk, below, above), text, state in zip(chunks, outputs, outputs[len(chunks):]):
        where = f"{chunk.state} at {chunk.address:#x}"
        t.check(f"chunk    {chunk.address:#x}, {chunk.bytes}, " in text, f"{where}: {text}")
        t.equal(f"state of {where}", state.strip(), f'"{chunk.state}"')
        for side, other in (("below", below), ("above", above)):
            line = re.search(rf"^  {side}    (.*)$", text, re.M)
            if chunk.state == "mmapped":
                t.check(not line, f"{where}: {text}")
            elif other:
                t.check(line and line.group(1).startswith(f"{other.address:#x}, {other.bytes}, "),
                        f"{side} {where} is {other.address:#x}, {other.bytes}: {text}")
            else:
                t.check(line and "heap ends here" in line.group(1), f"{side} {where}: {text}")
    t.check(len(chunks) > 3, "hardly any chunks")
    alone = tool.run("-q", "-b", "--whatis", hex(places[0]), *options).out.decode() if "-p" not in options else None
    if alone:
        t.check(outputs[0].startswith(alone), f"{outputs[0]!r} does not begin with {alone!r}")


def check_all(t, tool, place, target, options, setup=()):
    c = Compared(tool, place, target, options, setup)
    if not t.equal(str(c.ran), c.ran.status, 0):
        return c
    t.check("Error" not in c.ran.err and "Traceback" not in c.ran.err, c.ran.err)
    check_words(t, c)
    check_figures(t, c)
    check_functions(t, tool, c, target, setup)
    check_find(t, tool, c, target, options, setup)
    return c


def attached(victim):
    return ["-p", victim.pid]


def live(t, tool):
    with running(tool.build, THREADS) as victim, workplace() as place:
        before = thread_states(victim.pid)
        c = check_all(t, tool, place, attached(victim), attached(victim))
        t.equal("method", [c.report["method"][k] for k in ("mode", "pause_ns")], ["stopped", 0])
        t.equal("threads afterwards", settled(victim.pid, before), before)


def core_by_gdb(t, tool):
    with running(tool.build, THREADS) as victim, workplace() as place:
        core = gcore(victim)
        check_all(t, tool, place, [victim.exe, core], [core, victim.exe])
        t.equal("without its executable", Batch(tool, ["-c", core], "heapwalk arenas").outputs,
                Batch(tool, [victim.exe, core], "heapwalk arenas").outputs)


def core_by_kernel(t, tool):
    with running(tool.build, MIXED) as victim, workplace() as place:
        core = kernel_core(victim)
        named = os.path.join(place, "it's a core, file type or not")
        os.rename(core, named)
        ran = Batch(tool, [victim.exe, named], "heapwalk tcache")
        t.check(ran.status == 0 and str(victim.pid) in ran.outputs[0], f"a strange name: {ran}")
        os.rename(named, core)
        check_all(t, tool, place, [victim.exe, core], [core, victim.exe])


def stripped(t, tool):
    """No symbols but those that every libc has, neither for gdb nor for the command."""
    setup = ["set debug-file-directory /nonexistent", "set heapwalk options --roots disassembly"]
    with running(tool.build, THREADS) as victim, workplace() as place:
        first = ["set debug-file-directory /nonexistent", *loaded(tool), setup[1], f"attach {victim.pid}"]
        ran = Batch(tool, [], "info line malloc_consolidate", "heapwalk tcache", 'output $_heapwalk("bin_bytes")',
                    f"heapwalk json {place}/r.json", first=first)
        t.check("No line number" in ran.outputs[0] + ran.err or "not defined" in ran.err, f"not stripped: {ran.outputs[0]}")
        alone = tool.run("-J", *attached(victim)).json()
        with open(f"{place}/r.json", encoding="utf-8") as f:
            report = json.load(f)
        t.equal("roots", report["allocator"]["roots_source"], "disassembly")
        t.equal("arenas", [a["system_bytes"] for a in report["arenas"]], [a["system_bytes"] for a in alone["arenas"]])
        t.equal("bins", ran.outputs[2].strip(), str(alone["totals"]["bin_bytes"]))
        core = gcore(victim)
        ran = Batch(tool, [victim.exe, core], "heapwalk tcache", 'output $_heapwalk("bin_bytes")',
                    first=[*loaded(tool), setup[1]])
        t.equal("bins in a core", ran.outputs[-1:], [str(alone["totals"]["bin_bytes"]) + "\n"])


def static(t, tool):
    with workplace() as build, workplace() as place:
        compiled_victim(build, "mixed", "-static")
        with Victim(build, place, "mixed") as victim, workplace() as scratch:
            check_all(t, tool, scratch, attached(victim), attached(victim))
            core = gcore(victim)
            with workplace() as scratch2:
                check_all(t, tool, scratch2, [victim.exe, core], [core, victim.exe])


# ---- where there is nothing to say -------------------------------------------------------------------


def without_inferior(t, tool):
    arguments = {"find": " 0x1000", "json": " /nonexistent/r.json"}
    commands = ["heapwalk", *(f"heapwalk {name}{arguments.get(name, '')}" for name in NAMES)]
    for line in (*commands, 'print $_heapwalk("bin_bytes")', "print $_heapwalk_state(0x1000)"):
        ran = Batch(tool, [], line)
        t.check(ran.status == 1 and "no process and no core" in ran.err and "Traceback" not in ran.err, f"{line}: {ran}")
    t.equal("an executable alone", Batch(tool, ["/bin/true"], "heapwalk").status, 1)


def refused(t, tool):
    """Wrong words are refused with the right ones, and gdb fails."""
    with running(tool.build, MIXED) as victim:
        lines = {"heapwalk nonsense": 'Undefined heapwalk command: "nonsense"', "heapwalk top 1": "help heapwalk top",
                 "heapwalk hist --arena": "needs a value", "heapwalk hist --arena x": "main", "heapwalk hist --nope 1": "--nope",
                 "heapwalk hist --arena 77": "no arena 77", "heapwalk chunks --limit x": "unlimited",
                 "heapwalk holes 0": "number", "heapwalk find": "expression", "heapwalk find nosuch": '"nosuch"',
                 "heapwalk find 1.5": "no address", "heapwalk find (char)": "address|syntax|expression",
                 "heapwalk find malloc(3)": "may-call-functions", "heapwalk json": "FILE",
                 "heapwalk json /nonexistent/r.json": "No such file", "heapwalk json /dev/full": "No space left",
                 "set heapwalk": "path", "set heapwalk units x": "x", "set heapwalk nonsense 1": "nonsense",
                 'print $_heapwalk("nonsense")': "nonsense.*bin_bytes", 'print $_heapwalk("bin_bytes", 99)': "no arena 99"}
        for line, words in lines.items():
            ran = Batch(tool, attached(victim), line)
            t.check(ran.status == 1 and re.search(words, ran.err) and "Traceback" not in ran.err, f"{line}: {ran}")
        for path, words in (("/nonexistent", "No such file"), ("/bin/false", ""), ("/bin/true", "else than a report")):
            ran = Batch(tool, attached(victim), f"set heapwalk path {path}", "heapwalk tcache")
            t.check(ran.status == 1 and words in ran.err and "Traceback" not in ran.err, f"{path}: {ran}")


def running_on(t, tool):
    """Threads that gdb lets run."""
    with running(tool.build, MIXED) as victim:
        first = ["set non-stop on", *loaded(tool), f"attach {victim.pid}"]
        ran = Batch(tool, [], "continue -a &", "heapwalk", first=first)
        t.check(ran.status == 1 and "is running" in ran.err and "interrupt" in ran.err, str(ran))


def remote(t, tool):
    if not shutil.which("gdbserver"):
        raise Skip("no gdbserver here")
    with running(tool.build, MIXED) as victim:
        first = [*loaded(tool), f"target remote | gdbserver --once --attach stdio {victim.pid}"]
        ran = Batch(tool, [victim.exe], "heapwalk", "heapwalk find $sp", 'print $_heapwalk("bin_bytes")', first=first)
        t.equal(str(ran), ran.status, 1)
        t.equal("refusals", ran.err.count("target remote"), 3)
        t.check("generate-core-file" in ran.err, ran.err)


# ---- gdb's manners -----------------------------------------------------------------------------------


def settings(t, tool):
    """Nothing that belongs to gdb is changed, and nothing is defined but by our own name."""
    # What was said last, and what a command has set: $_ and its like, and the commands that gdb remembers.
    own = [f"heapwalk{' ' + name if name else ''}" for name in ("", "arenas", "top", "tcache", "holes", "check", "find $sp")]
    with running(tool.build, MIXED) as victim, workplace() as place:
        shows = []
        for n, lines in enumerate(([], [*loaded(tool), *own, "heapwalk find malloc(3)", 'print $_heapwalk("bin_bytes")'])):
            ran = Batch(tool, attached(victim), f"pipe show | grep -v -i heapwalk > {place}/{n}",
                        f"pipe info functions | cat >{place}/dump", "python print(sorted(gdb.__dict__))",
                        "help user-defined", "frame", "show convenience", first=lines)
            with open(f"{place}/{n}", encoding="utf-8") as f:
                text = re.sub(r".*(history|convenience|\$|width|commands|values).*\n", "", f.read())
            shows.append([*text.splitlines(), *ran.outputs[2:5]])
            t.check(len(text) > 1000, f"no settings: {ran}")
        for before, after in zip(*shows):
            t.equal("a setting", after, before)
        ran = Batch(tool, attached(victim), "help heap", "define heap\necho mine\\n\nend", "heap")
        allowed = Batch(tool, attached(victim), "heapwalk find malloc(3)", "show may-call-functions", "print $_streq(\"a\", \"a\")")
        t.check(allowed.outputs[1].rstrip().endswith("is on."), allowed.outputs[1])
        t.check(untraced(victim.pid), "still traced")


def name_is_free(t, tool):
    """`heap` is for others to define."""
    with workplace() as place:
        script = os.path.join(place, "heap.gdb")
        with open(script, "w", encoding="utf-8") as f:
            f.write("define heap\necho mine\nend\n")
        ran = Batch(tool, [], "heap", first=[*loaded(tool), f"source {script}"])
        t.equal(f"heap, {ran}", ran.outputs[0].strip(), "mine")
        ran = Batch(tool, [], "heap", first=[f"source {script}", *loaded(tool)])
        t.equal(f"heap, {ran}", ran.outputs[0].strip(), "mine")


def sourced_twice(t, tool):
    with running(tool.build, MIXED) as victim:
        again = f"source {SCRIPT}"
        ran = Batch(tool, attached(victim), "heapwalk tcache", again, again, "heapwalk tcache",
                    "set heapwalk limit 1", "set heapwalk units bytes", "set heapwalk options --no-sandbox", again,
                    "show heapwalk limit", "show heapwalk units", "show heapwalk options", "show heapwalk path",
                    "set heapwalk limit unlimited", again, "show heapwalk limit", 'output $_heapwalk("bin_bytes")')
        t.equal(str(ran), (ran.status, ran.err.count("Error")), (0, 0))
        out = ran.outputs
        t.equal("tcaches", out[3], out[0])
        for text, word in ((out[8], "lists 1 lines"), (out[9], '"bytes"'), (out[10], "--no-sandbox"),
                           (out[11], tool.path), (out[14], "unlimited")):
            t.check(word in text, f"{word} is not in {text!r}")


def found_by_itself(t, tool):
    """The command beside the script, as it was built and as it is installed; else in PATH."""
    show = "show heapwalk path"
    with workplace() as place:
        for script, program in (("scripts/heapwalk-gdb.py", "build/heapwalk"),
                                ("usr/share/gdb/python/gdb/command/heapwalk.py", "usr/bin/heapwalk")):
            script, program = (os.path.join(place, path) for path in (script, program))
            for path, source in ((script, SCRIPT), (program, tool.path)):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                shutil.copy(source, path)
            ran = Batch(tool, [], show, first=[f"source {script}"])
            t.check(f'"{program}"' in ran.outputs[0], ran.outputs[0] + str(ran))
        lonely = os.path.join(place, "lonely.py")
        shutil.copy(SCRIPT, lonely)
        path = f"{place}/usr/bin:{os.environ['PATH']}"
        ran = Batch(tool, [], show, first=[f"source {lonely}"], env={"PATH": path})
        t.check(f'"{place}/usr/bin/heapwalk"' in ran.outputs[0], ran.outputs[0])
        ran = Batch(tool, [], show, first=[f"source {lonely}"], env={"PATH": "/usr/bin:/bin"})
        t.check("no heapwalk" in ran.outputs[0] or '"/usr/bin/heapwalk"' in ran.outputs[0], ran.outputs[0])


def installed(t, tool):
    """In gdb's own directory of commands it is there from the start, even without a program."""
    with workplace() as place:
        data = os.path.join(place, "share", "gdb")
        shutil.copytree(Batch(tool, [], "python print(gdb.PYTHONDIR)", first=[]).outputs[0].strip(), f"{data}/python")
        shutil.copy(SCRIPT, f"{data}/python/gdb/command/heapwalk.py")
        os.makedirs(f"{place}/bin")
        shutil.copy(tool.path, f"{place}/bin/heapwalk")
        ran = Batch(tool, ["-data-directory", data], "show heapwalk path", "help heapwalk", first=[])
        t.check(f'"{place}/bin/heapwalk"' in ran.outputs[0], str(ran))
        t.equal("complaints", ran.err, "")


def helpful(t, tool):
    commands = ["help heapwalk", *(f"help heapwalk {name}" for name in NAMES), "apropos heap", "help data",
                "help set heapwalk", "help show heapwalk", "show heapwalk", "help function _heapwalk",
                "help function _heapwalk_state"]
    ran = Batch(tool, [], *commands)
    t.equal(str(ran), ran.status, 0)
    texts = dict(zip(commands, ran.outputs))
    for name in NAMES:
        t.check(f"heapwalk {name} -- " in texts["help heapwalk"], f"{name} is not in the list")
        t.check(f"Usage: heapwalk {name}" in texts[f"help heapwalk {name}"], f"no usage of {name}")
        t.check(f"heapwalk {name} -- " in texts["apropos heap"], f"apropos does not find {name}")
    t.check("heapwalk -- " in texts["apropos heap"] and "function _heapwalk -- " in texts["apropos heap"], "apropos")
    t.check("heapwalk -- " in texts["help data"], "not among the commands that examine data")
    for name in ("limit", "options", "path", "units"):
        t.check(f"set heapwalk {name} -- " in texts["help set heapwalk"], f"no set heapwalk {name}")
        t.check(f"{name}:  " in texts["show heapwalk"], texts["show heapwalk"])
    for text in ran.outputs:
        for line in text.splitlines():
            known = line.startswith(("Type ", "Command name", "heapwalk ", "set heapwalk", "show heapwalk", "function"))
            t.check(known or " -- " in line or tool.path in line or len(line) <= 110, f"{len(line)} columns: {line}")
            t.check(not line.startswith("    Usage"), f"indented: {line!r}")


def completion(t, tool):
    with running(tool.build, THREADS) as victim, workplace() as place:
        open(os.path.join(place, "report-of-today.json"), "w", encoding="utf-8").close()
        arenas = ["main", *map(str, range(1, len(tool.run("-J", *attached(victim)).json()["arenas"])))]
        wants = {"heapwal": ["heapwalk"], "heapwalk ": [f"heapwalk {name}" for name in NAMES],
                 "heapwalk h": ["heapwalk hist", "heapwalk holes"], "heapwalk hist ": ["heapwalk hist --arena"],
                 "heapwalk hist --": ["heapwalk hist --arena"], "heapwalk hist --ar": ["heapwalk hist --arena"],
                 "heapwalk hist --arena m": ["heapwalk hist --arena main"],
                 "heapwalk hist --arena ": sorted(f"heapwalk hist --arena {name}" for name in arenas),
                 "heapwalk chunks --": ["heapwalk chunks --arena", "heapwalk chunks --limit"],
                 "heapwalk chunks --arena 1 --l": ["heapwalk chunks --arena 1 --limit"],
                 "heapwalk chunks --limit u": ["heapwalk chunks --limit unlimited"],
                 "heapwalk find mai": None, f"heapwalk json {place}/rep": [f"heapwalk json {place}/report-of-today.json"],
                 "heapwalk top ": [], "set heapwalk ": [f"set heapwalk {n}" for n in ("limit", "options", "path", "units")],
                 "set heapwalk units ": ["set heapwalk units binary", "set heapwalk units bytes"],
                 "show heapwalk u": ["show heapwalk units"], f"set heapwalk path {tool.build}/heapw": None}
        ran = Batch(tool, attached(victim), *(f"complete {line}" for line in wants))
        for (line, want), got in zip(wants.items(), ran.outputs):
            got = got.splitlines()
            if want is None:
                t.check(got and all(word.startswith(line) for word in got), f"{line!r}: {got}")
            else:
                t.equal(f"{line!r}", sorted(got), sorted(want))
        nothing = Batch(tool, [], "complete heapwalk hist --arena ", "complete heapwalk find x")
        t.equal("without a process", (nothing.outputs[0], nothing.err), ("", ""))


def colors(t, tool):
    """Where gdb has them, and nowhere else."""
    with running(tool.build, MIXED) as victim:
        with Terminal(tool, attached(victim)) as gdb:
            for line in ("heapwalk", "heapwalk top", "heapwalk arenas", "heapwalk tcache"):
                text = gdb.ask(line)
                t.check(ESCAPE in text, f"{line}: no colours: {text[:200]!r}")
            plain = re.sub("\x1b\\[[0-9;]*m", "", gdb.ask("heapwalk arenas"))
            for line in ("pipe heapwalk | cat", "python print(gdb.execute('heapwalk top', False, True))",
                         "python print(gdb.execute('heapwalk', True, True))", "with style enabled off -- heapwalk"):
                text = gdb.ask(line)
                t.check(ESCAPE not in text and len(text) > 100, f"{line}: {text[:200]!r}")
            gdb.ask("set style enabled off")
            t.equal("without colours", gdb.ask("heapwalk arenas"), plain)
        with Terminal(tool, attached(victim), env={"TERM": "dumb"}) as gdb:
            t.check(ESCAPE not in gdb.ask("heapwalk"), "colours on a dumb terminal")
        with Terminal(tool, attached(victim), columns=200) as gdb:
            longest = max(len(line) for line in gdb.ask("heapwalk arenas").splitlines())
            gdb.ask("set width 60")
            narrow = max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in gdb.ask("heapwalk").splitlines())
            t.check(80 < longest and narrow <= 60, f"{longest} and {narrow} columns")


def empty_line(t, tool):
    """Nothing is repeated by an empty line."""
    with running(tool.build, MIXED) as victim, Terminal(tool, attached(victim)) as gdb:
        for line in ("heapwalk", "heapwalk top", "heapwalk find $sp", "heapwalk nonsense"):
            t.check(gdb.ask(line).strip(), f"{line}: nothing")
            t.equal(f"after {line}", gdb.ask(""), "")


def pages(t, tool):
    """Long output stops at the end of the page; q ends it, and the command with it."""
    with running(tool.build, THREADS) as victim, Terminal(tool, attached(victim), rows=12) as gdb:
        more = "--Type <RET> for more, q to quit, c to continue without paging--"
        for line in ("heapwalk chunks --limit unlimited", "heapwalk", "heapwalk holes 20"):
            first = gdb.ask(line, more)
            t.check(first.count("\n") <= 12, f"{line}: {first.count(chr(10))} lines on a page of 12")
            gdb.send("\n")
            gdb.until(more)
            gdb.send("q\n")
            gdb.until(gdb.PROMPT)
            t.equal(f"{line}: processes left", children(gdb.pid, "heapwalk"), [])
        t.check("$1 = 2" in gdb.ask("print 1+1"), "gdb is not well")


def interrupted(t, tool):
    """Ctrl-C ends the command, not gdb, and no process is left."""
    with running(tool.build, MIXED) as victim, workplace() as place:
        sleeper = os.path.join(place, "sleeper")
        with open(sleeper, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec sleep 1000\n")
        os.chmod(sleeper, 0o755)
        with Terminal(tool, attached(victim)) as gdb:
            gdb.ask(f"set heapwalk path {sleeper}")
            for line in ("heapwalk", "heapwalk top", "heapwalk chunks", 'print $_heapwalk("bin_bytes")'):
                gdb.send(line + "\n")
                t.check(wait_for(lambda: children(gdb.pid, "sleep"), 10), f"{line}: it does not run")
                began = time.monotonic()
                gdb.send("\x03")
                gdb.until(gdb.PROMPT)
                t.check(time.monotonic() - began < 5, f"{line}: it took long to end")
                t.equal(f"{line}: processes left", children(gdb.pid, "sleep"), [])
            gdb.send("heapwalk\n")  # by a signal for gdb alone
            wait_for(lambda: children(gdb.pid, "sleep"), 10)
            os.kill(gdb.pid, signal.SIGINT)
            gdb.until(gdb.PROMPT)
            t.equal("processes left", children(gdb.pid, "sleep"), [])
            gdb.ask(f"set heapwalk path {tool.path}")
            t.check("THREAD" in gdb.ask("heapwalk tcache"), "it does not work any more")


# ---- while a program runs under gdb ------------------------------------------------------------------


def counting(place, tool):
    """A heapwalk that keeps account of its runs."""
    path, log = os.path.join(place, "counting"), os.path.join(place, "runs")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\necho "$@" >>{log}\nexec {tool.path} "$@"\n')
    os.chmod(path, 0o755)
    return path, log


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def conditions(t, tool):
    """Figures in conditions: read anew at each stop, and once."""
    with workplace() as place:
        program = compiled(place, "steps", "-g")
        path, log = counting(place, tool)
        first = [f"source {SCRIPT}", f"set heapwalk path {path}"]

        def ran(*lines):
            return Batch(tool, [program], *lines, first=first)

        got = ran("break seen if number == 3", "run", 'set $base = $_heapwalk("in_use_chunks")', "delete",
                  'break seen if $_heapwalk("in_use_chunks") >= $base + 9', "continue", "output number",
                  "delete", 'break seen if $_streq($_heapwalk_state(block), "tcache")', "continue", "output number",
                  "output $_heapwalk_state(block->text)")
        t.equal(f"{got}: blocks", [text.strip() for text in (got.outputs[6], got.outputs[10], got.outputs[11])],
                ["12", "20", '"tcache"'])
        os.unlink(log)
        got = ran("break seen if number == 3", "run", 'print $_heapwalk("in_use_chunks")', 'print $_heapwalk("bin_bytes")',
                  "heapwalk tcache", "heapwalk top")
        t.equal(f"{got}: runs at one stop", len(lines_of(log)), 1)
        os.unlink(log)
        got = ran("break seen if number == 3", "run", 'output $_heapwalk("in_use_chunks")', "next 30", "continue 2",
                  'output $_heapwalk("in_use_chunks")')
        t.equal(f"{got}: runs at two", len(lines_of(log)), 2)
        os.unlink(log)
        got = ran("break seen if number == 3", "run", "output $_heapwalk_state(block)",
                  "set var ((unsigned long *)block)[-1] = 0x11", 'output $_heapwalk("complete")')
        t.equal(f"{got}: a heap that gdb has changed", (got.outputs[2].strip(), got.outputs[4].strip() in ("0", "false")),
                ('"in use"', True))


def other_threads_run(t, tool):
    """gdb looks at a condition as soon as one thread has come to the breakpoint."""
    with workplace() as place:
        program = compiled(place, "steps", "-g", "-pthread", "-DSPIN")
        got = Batch(tool, [program], "break seen if number == 3", "run", 'set $base = $_heapwalk("in_use_chunks")',
                    "delete", 'break seen if $_heapwalk("in_use_chunks") >= $base + 9', "continue", "output number",
                    "heapwalk tcache")
        t.equal(f"{got}: block", got.outputs[6].strip(), "12")
        t.equal("threads", len(table(got.outputs[7])), 2)


def passed_on(t, tool):
    """Where only the tracer itself may open the memory of a process, the command reads by its right."""
    if not shutil.which("strace"):
        raise Skip("no strace here")
    with running(tool.build, MIXED) as victim, workplace() as place:
        path, log = os.path.join(place, "confined"), os.path.join(place, "log")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec strace -f -o {log} -P /proc/{victim.pid}/mem -e inject=openat:error=EACCES "
                    f'{tool.path} --no-sandbox "$@"\n')
        os.chmod(path, 0o755)
        env = {"ASAN_OPTIONS": "detect_leaks=0"}
        got = Batch(tool, attached(victim), "heapwalk tcache", f"set heapwalk path {path}", "heapwalk tcache", env=env)
        t.equal(f"{got}: tcaches", got.outputs[2], got.outputs[0])
        t.check("INJECTED" in "".join(lines_of(log)), "nothing was refused")
        with running(tool.build, THREADS) as other:  # what is passed on is of no use for another process
            with open(f"/proc/{other.pid}/mem", "rb") as memory:
                done = subprocess.run([path, "-p", str(victim.pid)], pass_fds=(memory.fileno(),), check=False,
                                      capture_output=True, env={**tool.env, **env})
        t.equal(f"by a file of another process: {done.stderr}", done.returncode, 2)


def expressions(t, tool):
    """All that has an address."""
    with workplace() as place:
        program = compiled(place, "steps", "-g")
        got = Batch(tool, [program], "break seen if number == 5", "run", "output/x (long)block", "heapwalk find block",
                    "heapwalk find block->next", "heapwalk find *block", "heapwalk find block->text",
                    "heapwalk find &block->text[3]", "heapwalk find $rdi", "heapwalk find first",
                    "heapwalk find (long)block", "heapwalk find main", "heapwalk find $sp", "heapwalk find $pc")
        t.equal(str(got), got.status, 0)
        address, out = got.outputs[2].strip(), got.outputs[3:]
        for n in (0, 2, 5, 6, 7):
            t.check(out[n].startswith(f"{address} is in the heap"), f"{n}: {out[n]}")
        t.check(int(out[1].split()[0], 16) < int(address, 16), out[1])
        t.equal("within", [int(out[n].split()[0], 16) - int(address, 16) for n in (3, 4)], [8, 11])
        for n, word in ((8, "main"), (9, "stack"), (10, "seen")):
            t.check(word in out[n], f"{word}: {out[n]}")


def in_malloc(t, tool):
    """It says so, also where libc has no symbols of its own, and nothing that is selected changes."""
    words = "Thread 1 (malloc) stands in the middle of malloc"
    with workplace() as place:
        program = compiled(place, "steps", "-g")
        for hidden in ([], ["set debug-file-directory /nonexistent"]):
            inside = [*loaded(tool), *hidden, "break seen if number == 3", "run", "delete", "break malloc", "continue"]
            got = Batch(tool, [program], "heapwalk", "heapwalk top", "heapwalk check", "heapwalk chunks --limit 2",
                        "heapwalk find first", "up", "heapwalk tcache", "frame", "info threads", first=inside)
            for text in (*got.outputs[:5], got.outputs[6]):
                t.check(words in text and "half-made" in text, f"{text[-200:]} {got}")
            t.check("main ()" in got.outputs[7] and got.outputs[7].startswith("#1"), got.outputs[7])
        got = Batch(tool, [program], "heapwalk", first=[*loaded(tool), "break seen if number == 3", "run"])
        t.check("middle of malloc" not in got.outputs[0], got.outputs[0])
    caught = 0
    with workplace() as place, Victim(tool.build, place, "busy", (4,)) as victim:
        for _ in range(5):
            got = Batch(tool, attached(victim), "heapwalk top", "thread")
            t.check(got.outputs[1].startswith("[Current thread is 1 "), got.outputs[1])
            caught += "the middle of malloc" in got.outputs[0]
    t.note(f"{caught} of 5 times in the middle of malloc")
    t.check(caught > 0, "never caught in the act: this shows nothing")


def nothing_called(t, tool):
    """Not one instruction of the program is run: all threads are where they were, by the kernel's account."""
    def switches(pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return re.findall(r"ctxt_switches:\s+(\d+)", f.read())

    with running(tool.build, MIXED) as victim, Terminal(tool, attached(victim)) as gdb:
        before = switches(victim.pid)
        arguments = {"find": " $sp", "json": " /dev/null"}
        for name in NAMES:
            gdb.ask(f"heapwalk {name}{arguments.get(name, '')}")
        gdb.ask('print $_heapwalk("bin_bytes")')
        gdb.ask("heapwalk find malloc(3)")
        t.equal("context switches", switches(victim.pid), before)


def two_processes(t, tool):
    """The selected one, and its threads by their full numbers."""
    with running(tool.build, MIXED) as one, running(tool.build, THREADS) as two:
        got = Batch(tool, attached(one), "add-inferior", "inferior 2", f"attach {two.pid}", "heapwalk tcache", "inferior 1",
                    "heapwalk tcache", 'output $_heapwalk("in_use_chunks")', "inferior 2", 'output $_heapwalk("in_use_chunks")')
        t.check("* 2.1 " in got.outputs[3] and str(two.pid) in got.outputs[3], got.outputs[3] + str(got))
        t.check("* 1.1 " in got.outputs[5] and str(one.pid) in got.outputs[5], got.outputs[5])
        want = [str(tool.run("-J", *attached(v)).json()["totals"]["in_use_chunks"]) for v in (one, two)]
        t.equal("in use", [got.outputs[6].strip(), got.outputs[8].strip()], want)


def damaged(t, tool):
    """`check` fails where something is damaged; other commands show it."""
    with running(tool.build, Case("smashed", "smashed", ("grow",))) as victim:
        got = Batch(tool, attached(victim), "heapwalk check")
        t.check(got.status == 1 and "BROKEN" in got.outputs[0] and "damaged" in got.err, got.outputs[0] + str(got))
        got = Batch(tool, attached(victim), "heapwalk arenas", "heapwalk")
        t.check(got.status == 0 and "FINDINGS" in got.outputs[0] and "PARTIAL" in got.outputs[1], got.outputs[0] + str(got))
        t.equal("complete", Batch(tool, attached(victim), 'output $_heapwalk("complete")').outputs[0].strip() in ("0", "false"), True)


def run(suite, tool, _args):
    tests = {"live": live, "gcore": core_by_gdb, "kernel-core": core_by_kernel, "stripped": stripped, "static": static,
             "without-inferior": without_inferior, "refused": refused, "running": running_on, "remote": remote,
             "settings": settings, "name-is-free": name_is_free, "sourced-twice": sourced_twice,
             "found-by-itself": found_by_itself, "installed": installed, "help": helpful, "completion": completion,
             "colors": colors, "empty-line": empty_line, "pages": pages, "interrupted": interrupted,
             "conditions": conditions, "other-threads-run": other_threads_run, "passed-on": passed_on,
             "expressions": expressions, "in-malloc": in_malloc,
             "nothing-called": nothing_called, "two-processes": two_processes, "damaged": damaged}
    for name, test in tests.items():
        suite.run(f"gdb/{name}", test, tool)
