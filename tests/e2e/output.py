"""Where output goes: -o, broken pipes, full disks, and the options that shape the text."""

import csv
import json
import os
import shutil
import stat
import subprocess

from cases import Case
from modes import check_same_text, good, running
from process import settled, thread_states, workplace
from report_checks import without_volatile
from text_checks import check_text
from tool import ESCAPE

TARGET = Case("target", "many-threads", (12, 100))


def to_file(t, tool):
    """The format follows the extension, -f wins over it, nothing else is left behind."""
    with running(tool.build, TARGET) as victim, workplace() as place:
        pid = ["-p", victim.pid]
        path = os.path.join(place, "r.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write("something old and much longer " * 1000)
        if not good(t, ran := tool.run("-o", path, *pid)):
            return
        t.equal("stdout with -o", ran.out, b"")
        with open(path, encoding="utf-8") as f:
            got = json.load(f)
        t.equal("r.json", without_volatile(got),
                without_volatile(tool.run("-J", *pid).json()))
        for name, options, like in [
            ("r.csv", [], ["-f", "csv"]),
            ("r.xml", [], ["-f", "malloc_info"]),
            ("r.json", ["-f", "malloc_stats"], ["-f", "malloc_stats"]),
        ]:
            path = os.path.join(place, name)
            good(t, tool.run("-o", path, *options, *pid))
            with open(path, "rb") as f:
                check_same_text(t, f"{name} {options}", f.read(), tool.run(*like, *pid).out)
        good(t, tool.run("-o", os.path.join(place, "r.txt"), *pid))
        t.equal("files", sorted(os.listdir(place)), ["r.csv", "r.json", "r.txt", "r.xml"])
        dash = tool.run("-o", "-", "-f", "malloc_info", *pid)
        t.equal("-o -", dash.out, victim.text("malloc_info.xml"))


def failed_file(t, tool):
    """If there is no report, an old file stays as it was, and no other appears."""
    with running(tool.build, TARGET) as victim, workplace() as place:
        path = os.path.join(place, "r.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write("old")
        ran = tool.run("-o", path, "-p", 2**22 + 1)
        t.check(ran.status != 0, str(ran))
        with open(path, encoding="utf-8") as f:
            t.equal("the old file", f.read(), "old")
        t.equal("files", os.listdir(place), ["r.json"])
        ran = tool.run("-o", os.path.join(place, "no", "such", "r.json"), "-p", victim.pid)
        t.equal(str(ran), ran.status, 2)
        t.equal("lines on stderr", len(ran.err.splitlines()), 1)
        t.equal("files", os.listdir(place), ["r.json"])


def symbolic_link(t, tool):
    """A link stays one; what it leads to is replaced."""
    with running(tool.build, TARGET) as victim, workplace() as place, workplace() as elsewhere:
        link, real = os.path.join(place, "r.xml"), os.path.join(elsewhere, "real")
        os.symlink(real, link)
        with open(real, "w", encoding="utf-8") as f:
            f.write("old")
        good(t, tool.run("-o", link, "-p", victim.pid))
        t.check(os.path.islink(link), "the link was replaced")
        with open(real, "rb") as f:
            t.equal("the file behind it", f.read(), victim.text("malloc_info.xml"))
        t.equal("files", (os.listdir(place), os.listdir(elsewhere)), (["r.xml"], ["real"]))


def special_files(t, tool):
    """What is no regular file is written to and stays what it is."""
    with running(tool.build, TARGET) as victim, workplace() as place:
        want = victim.text("malloc_info.xml")
        command = ["-f", "malloc_info", "-p", str(victim.pid)]
        fifo, link = os.path.join(place, "fifo"), os.path.join(place, "link")
        os.mkfifo(fifo)
        os.symlink(fifo, link)
        for path in (fifo, link):
            # Opened for both, so that neither side waits for the other; a report fits into a pipe.
            reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
            ran = tool.run("-o", path, *command, timeout=60)
            if good(t, ran) and t.check(stat.S_ISFIFO(os.stat(fifo).st_mode), "no FIFO any more"):
                t.equal(f"what came out of {path}", os.read(reader, 65536), want)
            os.close(reader)
        t.check(os.path.islink(link), "the link was replaced")
        t.equal("files", sorted(os.listdir(place)), ["fifo", "link"])
        null = os.path.join(place, "null")  # never the real one: a failure would replace it
        try:
            os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.close(os.open(null, os.O_WRONLY))
        except OSError:
            t.note("no devices can be made here")
            return
        good(t, tool.run("-o", null, *command))
        t.check(stat.S_ISCHR(os.stat(null).st_mode), "no device any more")
        t.equal("files", sorted(os.listdir(place)), ["fifo", "link", "null"])


def full_disk(t, tool):
    with running(tool.build, TARGET) as victim, open("/dev/full", "wb") as full:
        for options in ([], ["-J"], ["--chunks", "-f", "csv"]):
            done = subprocess.run([tool.path, *options, "-p", str(victim.pid)], stdout=full,
                                  stderr=subprocess.PIPE, env=tool.env, timeout=60, check=False)
            t.check(done.returncode in (1, 2), f"{options}: status {done.returncode}")
            t.check(b"space" in done.stderr, f"{options}: the cause is not in {done.stderr}")


def broken_pipe(t, tool):
    """`heapwalk --chunks | head -1`: it ends, quietly enough, and lets the target go."""
    with running(tool.build, Case("target", "every-other", (100000, 100))) as victim:
        before = thread_states(victim.pid)
        process = tool.start("--chunks", "-f", "csv", "-p", victim.pid, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        process.wait(timeout=60)
        t.check(process.returncode in (1, 2, -13), f"status {process.returncode}: {err}")
        t.equal("target afterwards", settled(victim.pid, before), before)


def options(t, tool):
    with running(tool.build, Case("target", "many-threads", (40, 100))) as victim:
        pid = ["-p", victim.pid]
        before = thread_states(victim.pid)
        default = tool.run(*pid).out
        for extra in (["--all-arenas"], ["--histogram"], ["-b"], ["--arena", 1], ["-v"],
                      ["--all-arenas", "--histogram", "--bytes", "-q"]):
            if good(t, ran := tool.run(*extra, *pid)):
                check_text(t, ran.out)
        t.check(len(tool.run("--all-arenas", *pid).out) > len(default), "--all-arenas adds nothing")
        t.check(len(tool.run("--histogram", *pid).out) > len(default), "--histogram adds nothing")
        system = tool.run("-J", *pid).json()["totals"]["system_bytes"]
        exact = tool.run("-b", *pid).out.decode().replace(",", "").replace("\u202f", "")
        t.check(str(system) in exact, f"-b does not show {system}")
        t.check(ESCAPE in tool.run("--color=always", *pid).out, "--color=always shows none")
        for env in ({}, {"NO_COLOR": "1"}):
            t.check(ESCAPE not in tool.run(*pid, env=env).out, f"colour with {env}")
        no_arena = tool.run("--arena", 999, *pid)
        t.check(no_arena.status in (2, 64), str(no_arena))
        t.equal("target afterwards", settled(victim.pid, before), before)


def chunk_formats(t, tool):
    """The same listing as text, CSV and JSON Lines."""
    with running(tool.build, TARGET) as victim:
        pid = ["-p", victim.pid]
        listing = tool.run("--chunks", "-f", "csv", *pid).out.decode()
        rows = list(csv.DictReader(listing.splitlines()))
        if good(t, ran := tool.run("--chunks", "-J", *pid)):
            lines = [json.loads(line) for line in ran.out.splitlines()]
            t.equal("chunks in JSON Lines", len(lines), len(rows))
            for line, row in zip(lines, rows):
                got = (line["address"], line["bytes"], line["state"])
                if not t.equal("a chunk", got, (row["address"], int(row["bytes"]), row["state"])):
                    break
        if good(t, ran := tool.run("--chunks", *pid)):
            listed = sum(1 for line in ran.out.decode().splitlines() if " 0x" in " " + line)
            t.check(listed >= len(rows), f"{listed} of {len(rows)} chunks in the text")
        if good(t, ran := tool.run("--chunks", "-f", "csv", "--arena", 1, *pid)):
            few = list(csv.DictReader(ran.out.decode().splitlines()))
            t.equal("chunks of arena 1", few, [row for row in rows if row["arena"] == "1"])
        ran = tool.run("--chunks", "-f", "malloc_info", *pid)
        t.equal(str(ran), ran.status, 64)


def about(t, tool):
    ran = tool.run("--help")
    t.equal(str(ran), ran.status, 0)
    for word in (b"--pid", b"--format", b"--chunks", b"--whatis", b"64"):
        t.check(word in ran.out, f"{word} is not in --help")
    t.check(max(len(line) for line in ran.out.decode().splitlines()) <= 100, "--help is wide")
    ran = tool.run("-V")
    t.equal(str(ran), ran.status, 0)
    t.check(b"heapwalk" in ran.out, "-V does not say heapwalk")


def deleted_program(t, tool):
    with workplace() as place:
        copy = os.path.join(place, "victims")
        os.mkdir(copy)
        path = shutil.copy(os.path.join(tool.build, "victims", "every-other"), copy)
        with running(place, Case("target", "every-other", (1000, 500))) as victim:
            os.unlink(path)
            ran = tool.run("-f", "malloc_info", "-p", victim.pid)
            if good(t, ran):
                t.equal("report of a deleted program", ran.out, victim.text("malloc_info.xml"))


def run(suite, tool, _args):
    suite.run("output/to-file", to_file, tool)
    suite.run("output/failed-file", failed_file, tool)
    suite.run("output/symbolic-link", symbolic_link, tool)
    suite.run("output/special-files", special_files, tool)
    if os.path.exists("/dev/full"):
        suite.run("output/full-disk", full_disk, tool)
    else:
        suite.skip("output/full-disk", "no /dev/full")
    suite.run("output/broken-pipe", broken_pipe, tool)
    suite.run("output/options", options, tool)
    suite.run("output/chunk-formats", chunk_formats, tool)
    suite.run("output/help", about, tool)
    suite.run("output/deleted-program", deleted_program, tool)
