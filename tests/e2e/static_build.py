"""`make static`: one file that needs no other, and says what it lacks."""

import os
import shutil

import install
from cases import Case
from modes import check_same_text, gcore, good, running
from process import workplace
from report_checks import without_volatile
from suite import Skip
from tool import Tool

TARGET = Case("target", "many-threads", (12, 100))
SHAPES = ((), ("--all-arenas", "--histogram"), ("--arena", "3"), ("-b",), ("--chunks",), ("--check",),
          ("--holes", "5"), ("-f", "csv"), ("-f", "malloc_info"), ("--table", "arenas"),
          ("--table", "threads", "--raw"), ("--table", "params", "--no-headings"), ("--columns", "+trim_bytes"))
SERVERS = {"DEBUGINFOD_URLS": "http://127.0.0.1:1/"}


def linked(tool):
    """The static command of a build."""
    if install.flags_of(tool)[1]:
        raise Skip("sanitizers cannot be linked statically")
    # The compiler repeats the name of what it does not find.
    if "/" not in install.call("cc", "-print-file-name=libelf.a"):
        raise Skip("no static libraries here")
    said = install.make(tool, "static-files")
    return Tool(os.path.join(tool.build, "static")), said


def alone(t, tool):
    """It needs nothing, not even files of /etc; a core is enough in an empty tree."""
    static, said = linked(tool)
    t.check("warning" not in said, said)
    t.check("INTERP" not in install.call("readelf", "-lW", static.path), "it has an interpreter")
    if os.geteuid() != 0:
        raise Skip("only root may chroot")
    with running(tool.build, TARGET) as victim, workplace() as place:
        shutil.copy(gcore(victim), os.path.join(place, "core"))
        shutil.copy(static.path, place)
        there = Tool(place, prefix=("chroot", place))
        there.command[-1] = "/heapwalk"
        ran = there.run("-J", "/core")
        if good(t, ran):
            t.equal("totals", ran.json()["totals"], tool.run("-J", victim.directory + "/by-gdb").json()["totals"])


def same(t, tool):
    """What it prints is what the other one prints: its columns are drawn by its own means."""
    static, _ = linked(tool)
    with running(tool.build, TARGET) as victim:
        core = gcore(victim)
        for options in SHAPES:
            ran, other = static.run("-q", *options, core), tool.run("-q", *options, core)
            if good(t, ran):
                # how long it took stands in the last lines
                drop = (lambda text: b"\n".join(line for line in text.split(b"\n") if b" read in " not in line))
                check_same_text(t, " ".join(options), drop(ran.out), drop(other.out))
        live, other = (x.run("-J", "-p", victim.pid) for x in (static, tool))
        if good(t, live):
            t.equal("live", without_volatile(live.json()), without_volatile(other.json()))
            t.equal("sandbox", live.json()["method"]["sandbox"], other.json()["method"]["sandbox"])


def missing(t, tool):
    """What it lacks is said by --version, and where it is asked for."""
    static, _ = linked(tool)
    t.check(b"static build" in static.run("-V").out, "--version")
    t.check(b"static build" not in tool.run("-V").out, "--version of the other one")
    with running(tool.build, TARGET) as victim:
        target = ("-p", victim.pid)
        for options, env, text in (((), SERVERS, b"debuginfod"), (("--holes", "1"), {}, b"C++ names")):
            ran = static.run(*options, *target, env=env)
            t.check(ran.status == 0 and text in ran.err, str(ran))
            t.equal("with -q", static.run("-q", *options, *target, env=env).err, b"")
        t.check(b"static" not in static.run(*target).err, "nothing is missing, and something said")


def run(suite, tool, _args):
    suite.run("static/alone", alone, tool)
    suite.run("static/same", same, tool)
    suite.run("static/missing", missing, tool)
