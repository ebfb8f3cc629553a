"""Programs whose malloc is not glibc's: each is named, none is mistaken for an empty heap."""

import os
import re
import shutil
import subprocess

from badinput import check_refused
from modes import kernel_core, why_no_kernel_core
from process import settled, thread_states, workplace
from programs import Program, compiled, library
from report_checks import check_schema
from suite import Skip

# Name of the test, library to preload, Debian package, name and version it must be given.
PRELOADED = [
    ("jemalloc", "libjemalloc.so.2", "libjemalloc2", "jemalloc", r"\d+\.\d+\.\d+"),
    ("mimalloc", "libmimalloc.so.2*", "libmimalloc2.0", "mimalloc", r"2\.\d+\.\d+"),
    ("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "tcmalloc", r"2\.\d+"),
]
SANITIZERS = [
    ("address", "cc", "AddressSanitizer"),
    ("thread", "cc", "ThreadSanitizer"),
    ("leak", "cc", "LeakSanitizer"),
    ("address", "clang", "AddressSanitizer"),
]


def report_of(t, tool, target, status=0):
    ran = tool.run("-J", *target)
    t.equal(str(ran), ran.status, status)
    if ran.status not in (0, 1):
        return None
    report = ran.json()
    check_schema(t, report)
    return report


def check_other(t, report, name, version, serves):
    """The one allocator beside glibc's."""
    others = report["allocator"]["others"]
    if not t.equal(f"others {others}", len(others), 1):
        return
    other = others[0]
    t.equal("name", other["name"], name)
    if version is None:
        t.equal("version", other["version"], None)
    else:
        t.check(re.fullmatch(version, other["version"] or ""), f"version {other['version']}")
    t.equal("serves_malloc", other["serves_malloc"], serves)
    t.check(other["file"] in other["evidence"], f"evidence: {other['evidence']}")
    notes = [f["text"] for f in report["findings"] if f["kind"] == "note"]
    t.equal(f"notes {notes}", len(notes), 1)
    if notes:
        t.check((name or "another malloc") in notes[0] and other["file"] in notes[0], notes[0])


def check_live_and_core(t, tool, program, check):
    """check(report) of the process and of its core; the process must not notice."""
    before = thread_states(program.pid)
    report = report_of(t, tool, ["-p", program.pid])
    if report:
        check(report)
    text = tool.run("-p", program.pid).out.decode()
    t.equal("target afterwards", settled(program.pid, before), before)
    if not why_no_kernel_core():
        report = report_of(t, tool, [kernel_core(program)])
        if report:
            check(report)
    return text


def check_first_words(t, text, name):
    """What serves malloc is said before any figure."""
    paragraphs = text.split("\n\n")
    if t.check(len(paragraphs) > 1, f"no text: {text!r}"):
        first = " ".join(paragraphs[1].split())
        t.check(first.startswith(name) and "serves this program's malloc" in first,
                f"the first sentence is: {first}")


def preloaded(t, tool, pattern, package, name, version):
    with workplace() as place:
        path = library(pattern, package)
        with Program(place, [compiled(place, "holder")], {"LD_PRELOAD": path}) as program:
            def check(report):
                # mimalloc's version is in its code, which is not in a core.
                live = report["target"]["kind"] == "live"
                wanted = version if live or name != "mimalloc" else None
                check_other(t, report, name, wanted, True)
                t.equal("unused", report["allocator"]["unused"], True)
            check_first_words(t, check_live_and_core(t, tool, program, check), name)


def unknown_malloc(t, tool):
    """A malloc that nobody knows is named by its file."""
    with workplace() as place:
        path = compiled(place, "own-malloc", "-shared", "-fPIC", name="libown.so")
        with Program(place, [compiled(place, "holder")], {"LD_PRELOAD": path}) as program:
            def check(report):
                check_other(t, report, None, None, True)
                t.equal("file", report["allocator"]["others"][0]["file"], "libown.so")
            check_first_words(t, check_live_and_core(t, tool, program, check), "Another allocator")


def private(t, tool, strip):
    """An allocator linked into the program, which uses glibc's malloc, too."""
    with workplace() as place:
        path = compiled(place, "holder", "-DPRIVATE", *(["-s"] if strip else []))
        with Program(place, [path]) as program:
            def check(report):
                check_other(t, report, "jemalloc", r"5\.2\.1", False)
                t.check(report["totals"]["in_use_bytes"] > 3000 * 1000, "glibc's own blocks")
            text = check_live_and_core(t, tool, program, check)
            t.check("serves" not in text, "the private one does not serve malloc")


def sanitizer(t, tool, kind, compiler, name):
    with workplace() as place:
        path = compiled(place, "holder", f"-fsanitize={kind}", compiler=compiler)
        with Program(place, [path]) as program:
            before = thread_states(program.pid)
            report = report_of(t, tool, ["-p", program.pid])
            if report:
                check_other(t, report, name, None, True)
            check_first_words(t, tool.run("-p", program.pid).out.decode(), name)
            t.equal("target afterwards", settled(program.pid, before), before)


def valgrind(t, tool):
    """Its own threads are seen, not the program's: that tcaches cannot be read makes it partial."""
    if not shutil.which("valgrind"):
        raise Skip("no valgrind here (Debian: valgrind)")
    with workplace() as place:
        command = ["valgrind", "-q", compiled(place, "holder")]
        with Program(place, command) as program:
            before = thread_states(program.pid)
            report = report_of(t, tool, ["-p", program.pid], status=1)
            if report:
                check_other(t, report, "valgrind", None, True)
                t.equal("unused", report["allocator"]["unused"], True)
                kinds = {f["kind"] for f in report["findings"]}
                t.equal("findings", kinds, {"note", "thread_cache"})
            t.equal("target afterwards", settled(program.pid, before), before)


def refused(t, tool, program, words, core=True):
    before = thread_states(program.pid)
    check_refused(t, tool.run("-p", program.pid), words=[f"pid {program.pid} ", *words])
    t.equal("target afterwards", settled(program.pid, before), before)
    if core and not why_no_kernel_core():
        check_refused(t, tool.run(kernel_core(program)), words=["core", *words])


def musl(t, tool, flags, words):
    """No glibc at all: refused, and by its name."""
    with workplace() as place:
        path = compiled(place, "holder", *flags, compiler="musl-gcc")
        with Program(place, [path]) as program:
            refused(t, tool, program, words)


def musl_stripped(t, tool):
    """Nothing in it tells musl from others: refused, and nothing is made up."""
    with workplace() as place:
        path = compiled(place, "holder", "-static", "-s", compiler="musl-gcc")
        with Program(place, [path]) as program:
            check_refused(t, tool.run("-p", program.pid), words=["no glibc"])


def go_like(t, tool, strip):
    with workplace() as place:
        path = compiled(place, "go-like", "-nostdlib", "-static", "-ffreestanding", "-no-pie",
                        "-fno-stack-protector", *(["-s"] if strip else []))
        with Program(place, [path]) as program:
            refused(t, tool, program, ["go's runtime", "glibc heaps only"])


def static_stripped(t, tool):
    """glibc linked statically and stripped is read."""
    with workplace() as place:
        path = compiled(place, "holder", "-static")
        subprocess.run(["strip", path], check=True)
        with Program(place, [path]) as program:
            report = report_of(t, tool, ["-p", program.pid])
            if report:
                t.check(report["totals"]["in_use_bytes"] > 3000 * 1000, "the program's blocks")


def itself(t, tool):
    """A plain program has no others."""
    with workplace() as place:
        with Program(place, [compiled(place, "holder")]) as program:
            report = report_of(t, tool, ["-p", program.pid])
            if report:
                t.equal("others", report["allocator"]["others"], [])
                t.equal("findings", report["findings"], [])


def run(suite, tool, _args):
    for label, *facts in PRELOADED:
        suite.run(f"foreign/{label}", preloaded, tool, *facts)
    for kind, compiler, name in SANITIZERS:
        suite.run(f"foreign/{kind}-sanitizer-{compiler}", sanitizer, tool, kind,
                  os.environ.get("CC", "cc") if compiler == "cc" else compiler, name)
    suite.run("foreign/valgrind", valgrind, tool)
    suite.run("foreign/unknown-malloc", unknown_malloc, tool)
    suite.run("foreign/private", private, tool, False)
    suite.run("foreign/private-stripped", private, tool, True)
    suite.run("foreign/musl", musl, tool, [], ["musl's malloc", "glibc heaps only"])
    suite.run("foreign/musl-static", musl, tool, ["-static"], ["musl's malloc"])
    suite.run("foreign/musl-static-stripped", musl_stripped, tool)
    suite.run("foreign/go", go_like, tool, False)
    suite.run("foreign/go-stripped", go_like, tool, True)
    suite.run("foreign/glibc-static-stripped", static_stripped, tool)
    suite.run("foreign/none", itself, tool)
