"""heapwalk in gdb as a good guest: help, completion, pages, Ctrl-C, colours, errors, settings."""

import os
import re
import shutil
import signal
import time

from gdb import MIXED, THREADS
from gdb_session import SCRIPT, Batch, Terminal, attached, children, loaded
from modes import running
from process import untraced, wait_for, workplace
from suite import Skip

NAMES = ("arenas", "check", "chunks", "find", "hist", "holes", "json", "tcache", "top")
SETTINGS = ("limit", "options", "path", "units")
FIGURE = 'print $_heapwalk("bin_bytes")'
ESCAPE = "\x1b"
MORE = "--Type <RET> for more, q to quit, c to continue without paging--"


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def widest(text):
    return max(len(line) for line in plain(text).splitlines())


# ---- where there is nothing to say ------------------------------------------------------------


def without_inferior(t, tool):
    arguments = {"find": " 0x1000", "json": " /nonexistent/r.json"}
    commands = ["heapwalk", *(f"heapwalk {name}{arguments.get(name, '')}" for name in NAMES)]
    for line in (*commands, FIGURE, "print $_heapwalk_state(0x1000)"):
        ran = Batch(tool, [], line)
        said = "no process and no core" in ran.err and "Traceback" not in ran.err
        t.check(ran.status == 1 and said, f"{line}: {ran}")
    t.equal("an executable alone", Batch(tool, ["/bin/true"], "heapwalk").status, 1)


WRONG = {
    "heapwalk nonsense": 'Undefined heapwalk command: "nonsense"',
    "heapwalk top 1": "help heapwalk top",
    "heapwalk hist --arena": "needs a value",
    "heapwalk hist --arena x": "main",
    "heapwalk hist --arena 77": "no arena 77",
    "heapwalk hist --nope 1": "--nope",
    "heapwalk chunks --limit x": "unlimited",
    "heapwalk holes 0": "number",
    "heapwalk find": "expression",
    "heapwalk find nosuch": '"nosuch"',
    "heapwalk find 1.5": "no address",
    "heapwalk find malloc(3)": "may-call-functions",
    "heapwalk find $rsp = 0": "only reads",
    "heapwalk find *(int *)$rsp += 1": "only reads",
    "heapwalk find ++*(int *)$rsp": "only reads",
    "heapwalk find *(int *)$rsp <<= 1": "only reads",
    "heapwalk holes \u00b2": "number",
    "heapwalk chunks --limit \u00b2": "unlimited",
    'print $_heapwalk_state("only in gdb")': "not in memory",
    'print $_heapwalk("bin_bytes", "x")': "NAME",
    "heapwalk json": "FILE",
    "heapwalk json /nonexistent/r.json": "No such file",
    "heapwalk json /dev/full": "No space left",
    "set heapwalk": "path",
    "set heapwalk units x": "x",
    "set heapwalk nonsense 1": "nonsense",
    'print $_heapwalk("nonsense")': "nonsense.*bin_bytes",
    'print $_heapwalk("bin_bytes", 99)': "no arena 99",
    "print $_heapwalk()": "takes the name of a figure, in quotes",
    "print $_heapwalk(7)": "takes the name of a figure, in quotes",
    "print $_heapwalk_state()": "takes an address",
}
NO_HEAPWALK = {"/nonexistent": "No such file", "/bin/false": "status 1", "/bin/true": "else than a report"}


def refused(t, tool):
    """Wrong words are answered with the right ones, and gdb fails."""
    with running(tool.build, MIXED) as victim:
        for line, words in WRONG.items():
            ran = Batch(tool, attached(victim), line)
            said = re.search(words, ran.err) and "Traceback" not in ran.err
            t.check(ran.status == 1 and said, f"{line}: {ran}")
        for path, words in NO_HEAPWALK.items():
            set_path = f"set heapwalk path {path}"
            for line in ("heapwalk tcache", "heapwalk arenas")[:1 + (path != "/bin/true")]:
                ran = Batch(tool, attached(victim), set_path, line)
                said = words in ran.err and "Traceback" not in ran.err
                t.check(ran.status == 1 and said, f"{path}: {line}: {ran}")


def running_on(t, tool):
    """Threads that gdb lets run."""
    with running(tool.build, MIXED) as victim:
        first = ["set non-stop on", *loaded(tool), f"attach {victim.pid}"]
        ran = Batch(tool, [], "continue -a &", "heapwalk", first=first)
        said = "is running" in ran.err and "interrupt" in ran.err
        t.check(ran.status == 1 and said, str(ran))


def remote(t, tool):
    if not shutil.which("gdbserver"):
        raise Skip("no gdbserver here")
    with running(tool.build, MIXED) as victim:
        connect = f"target remote | gdbserver --once --attach stdio {victim.pid}"
        ran = Batch(tool, [victim.exe], "heapwalk", "heapwalk find $sp", FIGURE,
                    first=[*loaded(tool), connect])
        t.equal(str(ran), ran.status, 1)
        t.equal("refusals", ran.err.count("target remote"), 3)
        t.check("generate-core-file" in ran.err, ran.err)


# ---- what is gdb's remains gdb's --------------------------------------------------------------


def settings(t, tool):
    """Nothing that belongs to gdb is changed, and nothing is defined but by our own name."""
    used = [*loaded(tool), "heapwalk", "heapwalk find malloc(3)", "heapwalk find $sp", FIGURE,
            'print $_heapwalk_state("only in gdb")',
            *(f"heapwalk {name}" for name in ("arenas", "top", "tcache", "holes", "check"))]
    with running(tool.build, MIXED) as victim, workplace() as place:
        shows = []
        for name, first in (("without", []), ("with", used)):
            path = os.path.join(place, name)
            ran = Batch(tool, attached(victim), f"pipe show | grep -v -i heapwalk >{path}",
                        "python print(sorted(gdb.__dict__))", "help user-defined", "frame",
                        "show may-call-functions", first=first)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            t.check(len(text) > 10000, f"hardly any settings: {ran}")
            # What was printed last, and the commands that gdb remembers, are not settings.
            text = re.sub(r".*(history|convenience|\$|width|commands|values).*\n", "", text)
            shows.append([*text.splitlines(), *ran.outputs[1:]])
        for before, after in zip(*shows):
            t.equal("a setting", after, before)
        t.check("is on." in shows[1][-1], shows[1][-1])
        t.check(untraced(victim.pid), "still traced")


def name_is_free(t, tool):
    """`heap` is for others to define, before and afterwards."""
    with workplace() as place:
        script = os.path.join(place, "heap.gdb")
        with open(script, "w", encoding="utf-8") as f:
            f.write("define heap\necho mine\nend\n")
        theirs = f"source {script}"
        for first in ([*loaded(tool), theirs], [theirs, *loaded(tool)]):
            ran = Batch(tool, [], "heap", first=first)
            t.equal(f"heap, {ran}", ran.outputs[0].strip(), "mine")


def sourced_twice(t, tool):
    with running(tool.build, MIXED) as victim:
        again = f"source {SCRIPT}"
        ran = Batch(tool, attached(victim), "heapwalk tcache", again, again, "heapwalk tcache")
        t.equal(str(ran), (ran.status, "Error" in ran.err), (0, False))
        t.equal("tcaches", ran.outputs[3], ran.outputs[0])
        values = {"limit": "1", "units": "bytes", "options": "--no-sandbox"}
        ran = Batch(tool, attached(victim), *(f"show heapwalk {name}" for name in SETTINGS),
                    "set heapwalk limit unlimited", again, "show heapwalk limit", FIGURE,
                    first=[*loaded(tool),
                           *(f"set heapwalk {name} {value}" for name, value in values.items()),
                           again])
        t.equal(str(ran), ran.status, 0)
        for name, text in zip(SETTINGS, ran.outputs):
            value = values.get(name, tool.path)
            t.check(value in text, f"{name} is no longer {value}: {text!r}")
        t.check("unlimited" in ran.outputs[6], ran.outputs[6])


def found_by_itself(t, tool):
    """The command beside the script, as it was built and as it is installed; else in PATH."""
    layouts = {"scripts/heapwalk-gdb.py": "build/heapwalk",
               "usr/share/heapwalk/heapwalk-gdb.py": "usr/bin/heapwalk"}
    show = "show heapwalk path"
    with workplace() as place:
        for script, program in layouts.items():
            script, program = (os.path.join(place, path) for path in (script, program))
            for path, source in ((script, SCRIPT), (program, tool.path)):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                shutil.copy(source, path)
            ran = Batch(tool, [], show, first=[f"source {script}"])
            t.check(f'"{program}"' in ran.outputs[0], ran.outputs[0] + str(ran))
        lonely = os.path.join(place, "lonely.py")
        shutil.copy(SCRIPT, lonely)
        for path, want in ((f"{place}/usr/bin:{os.environ['PATH']}", f'"{place}/usr/bin/heapwalk"'),
                           (place, "no heapwalk in")):
            ran = Batch(tool, [], show, first=[f"python import os; os.environ['PATH'] = '{path}'",
                                               f"source {lonely}"])
            t.check(want in ran.outputs[0], ran.outputs[0] + str(ran))


def installed(t, tool):
    """By the link that gdb reads when it starts, the command is found beside the script; even without a
    program there is nothing to complain about."""
    with workplace() as place:
        script = os.path.join(place, "share", "heapwalk", "heapwalk-gdb.py")
        link = os.path.join(place, "etc", "gdb", "gdbinit.d", "heapwalk.py")
        program = os.path.join(place, "bin", "heapwalk")
        for path in (script, link, program):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(SCRIPT, script)
        shutil.copy(tool.path, program)
        os.symlink(script, link)
        ran = Batch(tool, [], "show heapwalk path", FIGURE, first=[f"source {link}"])
        t.check(f'"{program}"' in ran.outputs[0], str(ran))
        t.check("no process and no core" in ran.err and ran.err.count("\n") <= 2, ran.err)


# ---- help and completion ----------------------------------------------------------------------


def helpful(t, tool):
    commands = ["help heapwalk", *(f"help heapwalk {name}" for name in NAMES), "apropos heap",
                "help data", "help set heapwalk", "help show heapwalk", "show heapwalk",
                "help function _heapwalk", "help function _heapwalk_state"]
    ran = Batch(tool, [], *commands)
    t.equal(str(ran), ran.status, 0)
    texts = dict(zip(commands, ran.outputs))
    for name in NAMES:
        for where in ("help heapwalk", "apropos heap"):
            t.check(f"heapwalk {name} -- " in texts[where], f"{where}: no {name}")
        t.check(f"Usage: heapwalk {name}" in texts[f"help heapwalk {name}"], f"no usage of {name}")
    for where, what in (("apropos heap", "heapwalk -- "), ("help data", "heapwalk -- "),
                        ("apropos heap", "function _heapwalk -- ")):
        t.check(what in texts[where], f"{where}: no {what}")
    for name in SETTINGS:
        t.check(f"set heapwalk {name} -- " in texts["help set heapwalk"], f"no set {name}")
        t.check(f"{name}:  " in texts["show heapwalk"], texts["show heapwalk"])
    for line in "\n".join(texts.values()).splitlines():
        t.check(" -- " in line or tool.path in line or len(line) <= 110, f"too long: {line}")
        t.check(not re.match(r"\s+Usage", line), f"indented: {line!r}")


def completion(t, tool):
    with running(tool.build, THREADS) as victim, workplace() as place:
        open(os.path.join(place, "report-of-today.json"), "w", encoding="utf-8").close()
        count = len(tool.run("-J", *attached(victim)).json()["arenas"])
        arenas = ["main", *map(str, range(1, count))]
        wants = {  # the beginning of a line, and its last words as they are completed
            "heapwal": ["heapwalk"], "heapwalk ": NAMES, "heapwalk h": ["hist", "holes"],
            "heapwalk hist ": ["--arena"], "heapwalk hist -": ["--arena"],
            "heapwalk hist --": ["--arena"], "heapwalk hist --ar": ["--arena"],
            "heapwalk hist --arena ": arenas, "heapwalk hist --arena m": ["main"],
            "heapwalk chunks --": ["--arena", "--limit"],
            "heapwalk chunks --arena 1 --": ["--limit"],
            "heapwalk chunks --limit u": ["unlimited"], "heapwalk top ": [],
            f"heapwalk json {place}/rep": [f"{place}/report-of-today.json"],
            f"set heapwalk path {place}/rep": [f"{place}/report-of-today.json"],
            "set heapwalk ": SETTINGS, "show heapwalk u": ["units"],
            "set heapwalk units ": ["binary", "bytes"],
            "heapwalk find mai": None}
        ran = Batch(tool, attached(victim), *(f"complete {line}" for line in wants))
        for (line, words), got in zip(wants.items(), map(str.splitlines, ran.outputs)):
            if words is None:
                t.check(got and all(text.startswith(line) for text in got), f"{line}: {got}")
            else:
                begin = line[:line.rfind(" ") + 1]
                t.equal(line, sorted(got), sorted(begin + word for word in words))
        ran = Batch(tool, [], "complete heapwalk hist --arena ", "complete heapwalk find x")
        t.equal("without a process", (ran.outputs[0], ran.err), ("", ""))


# ---- on a terminal ----------------------------------------------------------------------------


def colors(t, tool):
    """Where gdb has them, and nowhere else."""
    with running(tool.build, MIXED) as victim:
        with Terminal(tool, attached(victim)) as gdb:
            for line in ("heapwalk", "heapwalk top", "heapwalk arenas", "heapwalk tcache"):
                text = gdb.ask(line)
                t.check(ESCAPE in text, f"{line}: no colours: {text[:200]!r}")
            colored = gdb.ask("heapwalk arenas")
            for line in ("pipe heapwalk | cat", "with style enabled off -- heapwalk",
                         "python print(gdb.execute('heapwalk top', False, True))",
                         "python print(gdb.execute('heapwalk', True, True))"):
                text = gdb.ask(line)
                t.check(ESCAPE not in text and len(text) > 100, f"{line}: {text[:200]!r}")
            gdb.ask("set style enabled off")
            t.equal("without colours", gdb.ask("heapwalk arenas"), plain(colored))
        for env in ({"TERM": "dumb"}, {"NO_COLOR": "1"}):
            with Terminal(tool, attached(victim), env=env) as gdb:
                t.check(ESCAPE not in gdb.ask("heapwalk"), f"colours with {env}")


def width(t, tool):
    with running(tool.build, MIXED) as victim:
        with Terminal(tool, attached(victim), columns=200) as gdb:
            t.check(80 < widest(gdb.ask("heapwalk arenas")) <= 200, "a wide terminal is not used")
            gdb.ask("set width 60")
            t.check(widest(gdb.ask("heapwalk")) <= 60, "set width is not respected")


def empty_line(t, tool):
    """Nothing is repeated by an empty line."""
    with running(tool.build, MIXED) as victim, Terminal(tool, attached(victim)) as gdb:
        for line in ("heapwalk", "heapwalk top", "heapwalk find $sp", "heapwalk nonsense"):
            t.check(gdb.ask(line).strip(), f"{line}: nothing")
            t.equal(f"after {line}", gdb.ask(""), "")


def pages(t, tool):
    """Long output stops at the end of the page; q ends it, and the command with it."""
    with running(tool.build, THREADS) as victim:
        with Terminal(tool, attached(victim), rows=12) as gdb:
            for line in ("heapwalk chunks --limit unlimited", "heapwalk", "heapwalk holes 20"):
                first = gdb.ask(line, MORE)
                t.check(first.count("\n") <= 12, f"{line}: a page of {first.count(chr(10))} lines")
                gdb.send("\n")
                gdb.until(MORE)
                gdb.send("q\n")
                gdb.until(gdb.PROMPT)
                t.equal(f"{line}: processes left", children(gdb.pid, "heapwalk"), [])
            t.check("$1 = 2" in plain(gdb.ask("print 1+1")), "gdb is not well")


def interrupted(t, tool):
    """Ctrl-C ends the command, not gdb, and no process is left; nor by a signal for gdb alone."""
    with running(tool.build, MIXED) as victim, workplace() as place:
        sleeper = os.path.join(place, "sleeper")
        with open(sleeper, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec sleep 1000\n")
        os.chmod(sleeper, 0o755)
        with Terminal(tool, attached(victim)) as gdb:
            gdb.ask(f"set heapwalk path {sleeper}")
            ways = [lambda: gdb.send("\x03")] * 4 + [lambda: os.kill(gdb.pid, signal.SIGINT)]
            lines = ("heapwalk", "heapwalk top", "heapwalk chunks", FIGURE, "heapwalk")
            for n, (line, interrupt) in enumerate(zip(lines, ways)):
                gdb.send(line + "\n")
                t.check(wait_for(lambda: children(gdb.pid, "sleep"), 10), f"{line}: does not run")
                time.sleep(n % 2 / 2)  # while it is started, or while gdb waits for it
                began = time.monotonic()
                interrupt()
                gdb.until(gdb.PROMPT)
                t.check(time.monotonic() - began < 5, f"{line}: it took long to end")
                t.equal(f"{line}: processes left", children(gdb.pid, "sleep"), [])
            gdb.ask(f"set heapwalk path {tool.path}")
            t.check("THREAD" in gdb.ask("heapwalk tcache"), "it does not work any more")


def run(suite, tool, _args):
    tests = {"without-inferior": without_inferior, "refused": refused, "running": running_on,
             "remote": remote, "settings": settings, "name-is-free": name_is_free,
             "sourced-twice": sourced_twice, "found-by-itself": found_by_itself,
             "installed": installed, "help": helpful, "completion": completion, "colors": colors,
             "width": width, "empty-line": empty_line, "pages": pages, "interrupted": interrupted}
    for name, test in tests.items():
        suite.run(f"gdb/{name}", test, tool)
