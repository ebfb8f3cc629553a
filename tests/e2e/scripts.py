"""What scripts use: tables, comparisons, series; and that no format leaves half of anything."""

import csv
import json
import os
import random
import resource
import signal
import subprocess
import time

from cases import Case
from modes import gcore, good, running
from process import Victim, settled, status_bytes, thread_states, untraced, wait_for, workplace
from report_checks import check_schema
from sandbox import Intruder, needs_sandbox
from text_checks import check_text
from tool import ESCAPE, without_leak_check

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMAS = os.path.join(HERE, "..", "..", "docs")
DIFF_SCHEMA = os.path.join(SCHEMAS, "diff.schema.json")
SERIES_SCHEMA = os.path.join(SCHEMAS, "series.schema.json")

TARGET = Case("target", "many-threads", (12, 100))
SMALL, LARGE, SMALL_CLASS, LARGE_CLASS = 2000, 500, 128, 2048  # of the grower, sizes as buckets
RSS_LAG = 512 << 10  # of the kernel's counters, and what it drops of files meanwhile


class Grown:
    """What the grower says of one order."""

    def __init__(self, numbers):
        (used, used_now, mapped, mapped_now, system, system_now, self.main, self.thread) = numbers
        self.used, self.mapped = used_now - used, mapped_now - mapped
        self.system = system_now - system


class Grower(Victim):
    def __init__(self, build, directory):
        super().__init__(build, directory, "grower", obeys=True)

    def grow(self):
        return Grown(self.order("g"))


# ---- tables --------------------------------------------------------------------------------------


def field(value):
    """A value of JSON, as CSV has it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return " ".join(str(v) for v in value)
    return "" if value is None else str(value)


def lookup(row, name):
    for part in name.split("."):
        row = row[part] if row else None
    return row


TABLES = {
    "arenas": (lambda r: r["arenas"], "index,address,kind,locked,moved,attached_threads,tids,"
               "top.bytes,top.reason,top.trimmable_bytes,max_system_bytes,system_bytes,in_use_bytes,"
               "in_use_chunks,free_bytes,free_resident_bytes,trim_bytes,stays.shared_page_bytes,brk"),
    "heaps": (lambda r: [{"arena": a["index"], **h} for a in r["arenas"] for h in a["heaps"]],
              "arena,address,bytes,mprotect_bytes,resident_bytes,free.returned_bytes"),
    "threads": (lambda r: r["threads"], "tid,arena,tcache_bytes,tcache_chunks"),
    "totals": (lambda r: [r["totals"]], "system_bytes,in_use_bytes,mmapped_bytes,trim_bytes"),
    "histogram": (lambda r: [b for b in r["histogram"] if b["chunks"]], "from,to,chunks,bytes"),
    "in_use_histogram": (lambda r: [b for b in r["in_use_histogram"] if b["chunks"]],
                         "from,to,chunks,bytes,header_bytes,rounding_max_bytes"),
    "holes": (lambda r: r["holes"], "arena,address,bytes,chunks,has_top,resident_bytes,trim_bytes,"
              "below.address,below.state,above.bytes"),
    "params": (lambda r: [{"name": k, "value": v} for k, v in r["params"].items()], "name,value"),
    "rss": (lambda r: [{"name": k, "bytes": v} for k, v in r["rss"].items() if v is not None
                       and k not in ("rss_bytes", "file_bytes", "unexplained_bytes")], "name,bytes"),
    "findings": (lambda r: r["findings"], "kind,arena,address,bytes,text"),
}


def check_tables(t, tool, target):
    """In all formats, with all figures of the report."""
    report = tool.run("-J", "--holes", 10, *target).json()
    for name, (rows_of, columns) in TABLES.items():
        names, rows = columns.split(","), rows_of(report)
        args = ["--table", name, "--columns", columns, *target]
        if name == "rss" and report["rss"]["rss_bytes"] is None:
            rows = []
        ran = tool.run(*args, "-f", "csv")
        if not good(t, ran):
            continue
        got = [r for r in csv.DictReader(ran.out.decode().splitlines())]
        if name == "rss":
            known = {r["name"] for r in rows}
            got = [r for r in got if r["name"] in known]
        t.equal(f"{name}: csv", got, [{n: field(lookup(r, n)) for n in names} for r in rows])
        ran = tool.run(*args, "-J")
        lines = [json.loads(line) for line in ran.out.splitlines()]
        if name == "rss":
            lines = [r for r in lines if r["name"] in known]
        for line, row in zip(lines, rows):
            for n in names:
                want = lookup(row, n)
                want = " ".join(map(str, want)) if isinstance(want, list) else want
                t.equal(f"{name}: json {n}", line[n], want if want != "" else None)
        t.equal(f"{name}: lines", len(lines), len(rows))
        check_text_table(t, tool, name, args, len(rows))


def check_text_table(t, tool, name, args, rows):
    raw, padded = (tool.run(*args, *more).out.decode() for more in (["-r", "-b"], ["-b"]))
    count = len(args[3].split(","))
    t.check(all(len(line.split(" ")) == count for line in raw.splitlines()), f"{name}: raw {raw!r}")
    t.check("\x1b" not in padded, f"{name}: escape codes")
    if name != "rss":
        t.equal(f"{name}: rows as text", len(padded.splitlines()), rows + 1)
    bare = tool.run(*args, "-r", "-b", "-n").out.decode()
    t.equal(f"{name}: without headings", bare, "".join(raw.splitlines(keepends=True)[1:]))


def tables(t, tool):
    with running(tool.build, TARGET) as victim:
        check_tables(t, tool, ["-p", victim.pid])
        core = gcore(victim)
        check_tables(t, tool, [core])
        ran = tool.run("-n", "--columns", "trim_bytes,in_use_bytes", core)
        t.check(good(t, ran) and all(line.split()[0] == "-" for line in ran.out.decode().splitlines()),
                f"unknown: {ran.out}")
        ran = tool.run("-f", "csv", "--table", "totals", "--columns", "trim_bytes", core)
        t.equal("unknown as csv", ran.out, b"trim_bytes\n\n")


def sorting(t, tool):
    with running(tool.build, TARGET) as victim:
        args = ["-b", "-n", "-r", "-p", victim.pid]
        column = lambda *more: [int(n) for n in tool.run(*args, *more).out.split()]
        sizes = column("--columns", "in_use_bytes")
        t.equal("smallest first", column("--columns", "in_use_bytes", "-x", "in_use_bytes"),
                sorted(sizes))
        t.equal("largest first", column("--columns", "IN_USE_BYTES", "--sort", "-in_use_bytes"),
                sorted(sizes, reverse=True))
        by_size = column("--columns", "index", "--sort", "in_use_bytes")
        t.equal("by a column that is not shown", by_size,
                [i for _, i in sorted((s, i) for i, s in enumerate(sizes))])
        more = tool.run("--columns", "+brk", "-r", "-p", victim.pid).out.splitlines()[0].split()
        t.check(more[0] == b"INDEX" and more[-1] == b"BRK", f"+brk: {more}")
        only = column("--columns", "index", "--arena", 2)
        t.equal("one arena", only, [2])
        human = tool.run("-p", victim.pid, "--columns", "system_bytes", "-n", "-r").out.split()
        t.check(all(not s[-1:].isdigit() for s in human), f"sizes with units: {human}")


def wrong_tables(t, tool):
    """Before anybody is stopped: there is no such process."""
    none = ["-p", 2**22 + 1]
    for options, word in [
        (["--columns", "foo"], b"in_use_bytes"), (["--columns", "index,"], b"in_use_bytes"),
        (["--columns", ""], b"in_use_bytes"), (["--sort", "foo"], b"in_use_bytes"),
        (["--sort", "-"], b"in_use_bytes"), (["--table", "foo"], b"threads"),
        (["--table", "threads", "--columns", "index"], b"tcache_bytes"),
        (["--chunks", "--columns", "foo"], b"pointer"),
        (["--chunks", "--sort", "bytes"], b"sort(1)"), (["--no-headings"], b"--columns"),
        (["--columns", "index", "-f", "malloc_info"], b"text, csv or json"),
        (["--chunks", "--table", "arenas"], b"--chunks"),
        (["--whatis", "0", "--columns", "index"], b"--whatis"),
        (["--interval", "1", "--columns", "index"], b"--interval"),
        (["--columns", ",".join(["index"] * 300)], b"256"),
    ]:
        ran = tool.run(*options, *none)
        t.equal(str(ran), ran.status, 64)
        t.check(word in ran.err, f"{options}: no {word} in {ran.err}")
    for options, word in [(["--columns", "help"], b"in_use_bytes"), (["--table", "help"], b"holes"),
                          (["--table", "holes", "--columns", "help"], b"below.symbol"),
                          (["--chunks", "--columns", "help"], b"pointer")]:
        ran = tool.run(*options)
        t.check(good(t, ran) and word in ran.out, f"{options}: {ran.out}")


def chunks(t, tool):
    with running(tool.build, TARGET) as victim:
        target = ["--chunks", "-p", victim.pid]
        whole = [json.loads(line) for line in tool.run(*target, "-J").out.splitlines()]
        keys = ("address", "pointer", "bytes", "state", "arena", "bin", "tid")
        t.check(all(tuple(line) == keys for line in whole), "keys of JSON Lines")
        few = ["--columns", "state,bytes,tid"]
        want = [{k: line[k] for k in ("state", "bytes", "tid")} for line in whole]
        t.equal("columns, JSON Lines",
                [json.loads(line) for line in tool.run(*target, *few, "-J").out.splitlines()], want)
        got = list(csv.DictReader(tool.run(*target, *few, "-f", "csv").out.decode().splitlines()))
        t.equal("columns, csv", got, [{k: field(v) for k, v in w.items()} for w in want])
        raw = tool.run(*target, *few, "-r", "-n").out.decode().splitlines()
        t.equal("columns, raw", [line.replace("\\x20", " ") for line in raw],
                [" ".join(field(v) or "-" for v in w.values()) for w in want])
        for options in ([], ["-f", "csv"]):
            named = tool.run(*target, *options).out.splitlines()
            t.equal("no headings", tool.run(*target, *options, "-n").out.splitlines(), named[1:])
        text = tool.run(*target, *few).out.decode()
        t.equal("columns, text", len(text.splitlines()), len(whole) + 1)
        core = gcore(victim)
        of_core = tool.run("--chunks", "-J", "--columns", "state,bytes,tid", core)
        t.equal("of a core", [json.loads(line) for line in of_core.out.splitlines()], want)


# ---- comparisons ---------------------------------------------------------------------------------


def save(tool, place, name, *target):
    path = os.path.join(place, name)
    ran = tool.run("-q", "-o", path, *target)
    if ran.status != 0:
        raise RuntimeError(str(ran))
    return path


def compared(t, tool, before, after, status=0):
    ran = tool.run("-J", "--diff", before, after)
    if not t.equal(str(ran), ran.status, status):
        return None
    check_schema(t, ran.json(), DIFF_SCHEMA)
    return ran.json()


def check_changes(t, diff):
    """Each change is what it says, and the arenas add up to the totals."""
    def figures(o):
        if isinstance(o, dict) and "change" in o and "before" in o:
            yield o
        for value in o.values() if isinstance(o, dict) else o if isinstance(o, list) else ():
            yield from figures(value)

    for f in figures(diff):
        want = None if None in (f["before"], f["after"]) else f["after"] - f["before"]
        t.equal("change", f["change"], want)
    for name in ("system_bytes", "in_use_bytes", "free_bytes"):
        arenas = sum((a[name]["after"] or 0) - (a[name]["before"] or 0) for a in diff["arenas"])
        t.equal(f"{name} of arenas", arenas, diff["totals"][name]["change"])


def bucket(diff, name, size):
    rows = [b for b in diff[name] if b["from"] == size]
    return (rows[0]["chunks"]["change"], rows[0]["bytes"]["change"]) if rows else (0, 0)


def check_growth(t, diff, grown, threads):
    """Against what the victim itself and its malloc say."""
    totals = diff["totals"]
    t.equal("in use", totals["in_use_bytes"]["change"], grown.used)
    t.equal("mmapped", totals["mmapped_bytes"]["change"], grown.mapped)
    t.equal("system", totals["system_bytes"]["change"], grown.system)
    t.equal("chunks", totals["in_use_chunks"]["change"], SMALL + threads * LARGE)
    t.equal("small chunks", bucket(diff, "in_use_histogram", SMALL_CLASS), (SMALL, grown.main))
    t.equal("large chunks", bucket(diff, "in_use_histogram", LARGE_CLASS),
            (threads * LARGE, threads * grown.thread))
    arenas = [a["in_use_bytes"]["change"] for a in diff["arenas"]]
    t.equal("arenas", arenas, [grown.main] + threads * [grown.thread])


def diff_growth(t, tool):
    with workplace() as place, workplace() as there, Grower(tool.build, there) as victim:
        target = ["-p", victim.pid]
        a, rss = save(tool, place, "a.json", *target), status_bytes(victim.pid, "VmRSS")
        grown = victim.grow()
        b = save(tool, place, "b.json", *target)
        rss = status_bytes(victim.pid, "VmRSS") - rss
        diff = compared(t, tool, a, b)
        t.equal("same process", (diff["same_process"], diff["matched_by"], diff["notes"]),
                (True, "address", []))
        check_changes(t, diff)
        check_growth(t, diff, grown, 2)
        told = diff["rss_bytes"]["change"]
        t.check(abs(told - rss) < RSS_LAG, f"RSS grew by {told}, the kernel says by {rss}")
        t.check("in use +3.27 MiB" in diff["summary"] and "mmapped +1.00 MiB" in diff["summary"],
                diff["summary"])
        check_forms(t, tool, a, b, diff)
        # Nothing, and backwards.
        same = compared(t, tool, a, a)
        t.equal("nothing", same["summary"], "nothing")
        back = compared(t, tool, b, a)
        t.equal("backwards", back["totals"]["in_use_bytes"]["change"], -grown.used)
        t.check("older" in " ".join(back["notes"]), f"notes {back['notes']}")
        # A core of the same process: what is in RAM is not known, the rest is the same.
        c = save(tool, place, "c.json", gcore(victim))
        diff = compared(t, tool, a, c)
        check_growth(t, diff, grown, 2)
        t.equal("of a core", (diff["same_process"], diff["matched_by"]), (None, "address"))
        t.equal("unknown", [diff["totals"]["trim_bytes"]["change"], diff["rss_bytes"]["change"]],
                [None, None])


def check_forms(t, tool, a, b, diff):
    ran = tool.run("--diff", a, b)
    if good(t, ran):
        check_text(t, ran.out)
        t.check(diff["summary"] in " ".join(ran.out.decode().split()), "no summary in the text")
    exact = tool.run("-b", "--diff", a, b).out.decode()
    t.check(f"+{diff['totals']['in_use_bytes']['change']}" in exact, "no exact change")
    rows = list(csv.DictReader(tool.run("-f", "csv", "--diff", a, b).out.decode().splitlines()))
    by = {(r["part"], r["key"], r["figure"]): r for r in rows}
    t.equal("rows of csv", len(by), len(rows))
    for name, figure in diff["totals"].items():
        if figure.get("change") is not None:
            t.equal(f"csv: {name}", int(by["totals", "", name]["change"]), figure["change"])
    for arena in diff["arenas"]:
        row = by["arenas", arena["after"]["address"], "in_use_bytes"]
        t.equal("csv: arena", int(row["after"]), arena["in_use_bytes"]["after"])
    for b in diff["in_use_histogram"]:
        row = by["in_use_histogram", str(b["from"]), "bytes"]
        t.equal("csv: sizes", int(row["change"]), b["bytes"]["change"])


def diff_arenas(t, tool):
    """One that is new, one that is gone; two processes."""
    with workplace() as place, workplace() as there, workplace() as other:
        with Grower(tool.build, there) as victim, Grower(tool.build, other) as second:
            victim.grow()
            target = ["-p", victim.pid]
            a = save(tool, place, "a.json", *target)
            grown = victim.grow()
            b = save(tool, place, "b.json", *target)
            diff = compared(t, tool, a, b)
            check_changes(t, diff)
            t.equal("states", [x["state"] for x in diff["arenas"]].count("new"), 1)
            new = next(x for x in diff["arenas"] if x["state"] == "new")
            t.equal("before it was new", new["before"], None)
            t.equal("system", diff["totals"]["system_bytes"]["change"], grown.system)
            t.check("new" in tool.run("--diff", a, b).out.decode(), "new is not in the text")
            gone = compared(t, tool, b, a)
            t.equal("gone", [x["state"] for x in gone["arenas"]][-1], "gone")
            t.equal("gone from", gone["arenas"][-1]["before"], new["after"])
            c = save(tool, place, "c.json", "-p", second.pid)
            diff = compared(t, tool, a, c)
            t.equal("two processes", (diff["same_process"], diff["matched_by"]), (False, "index"))
            t.check(str(second.pid) in " ".join(diff["notes"]), f"notes {diff['notes']}")
            t.equal("all matched", {x["state"] for x in diff["arenas"]}, {"both"})


def changed(path, place, change):
    """A copy of a report, changed."""
    with open(path, encoding="utf-8") as f:
        report = json.load(f)
    change(report)
    copy = os.path.join(place, "changed.json")
    with open(copy, "w", encoding="utf-8") as f:
        json.dump(report, f)
    return copy


def without(key):
    def change(report):
        del report[key]
    return change


def diff_older(t, tool):
    """Reports that have less: of older versions, and partial ones."""
    with workplace() as place, running(tool.build, TARGET) as victim:
        a = save(tool, place, "a.json", "-p", victim.pid)
        for key in ("histogram", "in_use_histogram", "arenas", "rss", "target", "method", "params"):
            diff = compared(t, tool, a, changed(a, place, without(key)))
            if diff and key in diff:
                t.check(diff[key] is None or key == "arenas", f"without {key}: {diff[key]}")
        diff = compared(t, tool, a, changed(a, place, lambda r: r["totals"].pop("in_use_bytes")))
        figure = diff["totals"]["in_use_bytes"]
        t.equal("without a figure", (figure["after"], figure["change"]), (None, None))
        restarted = changed(a, place, lambda r: r["target"].update(start_ticks=1))
        t.equal("its number again", compared(t, tool, a, restarted)["same_process"], False)
        for partial in (lambda r: r.update(complete=False), without("complete")):
            path = changed(a, place, partial)
            t.equal("partial", compared(t, tool, a, path, 1)["complete"], False)
            ran = tool.run("--diff", path, a)
            t.equal(str(ran), ran.status, 1)
            t.check(path.encode() in ran.err and path in ran.out.decode(), f"not named: {ran}")
        with open(a, "rb") as f:
            ran = tool.run("--diff", "-", a)
            t.equal("empty standard input", ran.status, 2)
            done = subprocess.run([*tool.command, "--diff", "-", a], stdin=f, capture_output=True,
                                  timeout=60, env=tool.env, check=False)
        t.equal("standard input", done.returncode, 0)


def diff_hostile(t, tool):
    """Whatever the file is: a reason, and status 2, soon."""
    with workplace() as place, running(tool.build, TARGET) as victim:
        a = save(tool, place, "a.json", "-p", victim.pid)
        bad = os.path.join(place, "bad.json")
        texts = [b"", b"{", b"[]", b"null", b"{}", b"\0" * 100, b"[" * 100000, b'{"a":' * 3000,
                 b"[" + b"[]," * (1 << 20) + b"[]]", b'{"schema_version":1,"totals":{}}',
                 b'"' + b"x" * (1 << 20), b"\xff\xfe{}", b'{"schema_version":1e999}']
        changes = [lambda r: r.update(schema_version=2), lambda r: r.update(schema_version="1"),
                   lambda r: r.update(totals=[]), lambda r: r.update(arenas={}),
                   lambda r: r["totals"].update(in_use_bytes="7"),
                   lambda r: r["totals"].update(in_use_bytes=1.5),
                   lambda r: r["totals"].update(utilization=7),
                   lambda r: r["arenas"].append(7),
                   lambda r: r["arenas"][0].update(address="zz"),
                   lambda r: r["arenas"][0].update(index=-1),
                   lambda r: r["histogram"].append({"from": 3, "to": 4, "chunks": 1, "bytes": 1}),
                   lambda r: r["histogram"].append({"from": 4, "chunks": -1, "bytes": 1}),
                   lambda r: r["target"].update(pid="1"), lambda r: r["target"].update(comm=7)]
        for change in changes:
            changed(a, place, change)
            with open(os.path.join(place, "changed.json"), "rb") as f:
                texts.append(f.read())
        for text in texts:
            with open(bad, "wb") as f:
                f.write(text)
            for args in ((a, bad), (bad, a)):
                ran = tool.run("--diff", *args, timeout=20)
                t.equal(f"{text[:40]}: {ran}", ran.status, 2)
                t.check(len(ran.err.splitlines()) == 1 and not ran.out, f"{text[:40]}: {ran}")
        fifo = os.path.join(place, "fifo")
        os.mkfifo(fifo)
        for path in (place, os.path.join(place, "none"), "/dev/zero", fifo, tool.path):
            t.equal(path, tool.run("--diff", a, path, timeout=20).status, 2)
        slowly = f"exec 3>{fifo}; sleep 4; cat {a} >&3"
        with subprocess.Popen(["bash", "-c", slowly], stdout=subprocess.DEVNULL):
            t.equal("slow pipe", tool.run("--diff", a, fifo, timeout=20).status, 0)
        for args in ((), (a,), (a, a, a), ("-", "-"), ("-p", victim.pid), (a, a, "--no-stop"),
                     (a, a, "--snapshot"), (a, a, "--max-pause", "5")):
            t.equal(f"{args}", tool.run("--diff", *args).status, 64)
        t.equal("of --dry-run", tool.run("--diff", a, save_dry(tool, place, victim)).status, 2)
        loud = changed(a, place, lambda r: r["target"].update(comm="\x1b[31m\n", pid=1))
        ran = tool.run("--diff", a, loud)
        t.check(good(t, ran) and ESCAPE not in ran.out + ran.err, f"escape codes: {ran}")
        far = changed(a, place, lambda r: r["totals"].update(in_use_bytes=-2**63))
        compared(t, tool, a, far)


def save_dry(tool, place, victim):
    path = os.path.join(place, "dry.json")
    tool.run("--dry-run", "-J", "-o", path, "-p", victim.pid)
    return path


# ---- series --------------------------------------------------------------------------------------


class Series:
    """heapwalk --interval, and its lines as they come."""

    def __init__(self, tool, *args, **kwargs):
        self.process = tool.start(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def line(self):
        return json.loads(self.process.stdout.readline())

    def rest(self):
        out, self.err = self.process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def series_growth(t, tool):
    for options in ([], ["--no-stop"], ["--snapshot"], ["--max-pause", "200"]):
        with workplace() as there, Grower(tool.build, there) as victim:
            args = ["-J", *options, "--interval", "0.3", "--count", "40", "-p", victim.pid]
            with Series(tool, *args) as series:
                lines, rss = [series.line()], status_bytes(victim.pid, "VmRSS")
                grown = victim.grow()
                while sum(x["change"]["in_use_bytes"] or 0 for x in lines) != grown.used \
                        and len(lines) < 30:
                    lines.append(series.line())
                rss = status_bytes(victim.pid, "VmRSS") - rss
                series.process.send_signal(signal.SIGINT)
                lines += series.rest()
                flawed = any(not line["complete"] for line in lines)  # it moved, and that was said
                t.equal(f"{options}: status {series.err}", series.process.returncode, int(flawed))
            for line in lines:
                check_schema(t, line, SERIES_SCHEMA)
            t.check(options == ["--no-stop"] or not flawed, f"{options}: {lines}")
            total = lambda name: sum(x["change"][name] or 0 for x in lines)
            t.equal(f"{options}: in use", total("in_use_bytes"), grown.used)
            t.equal(f"{options}: mmapped", total("mmapped_bytes"), grown.mapped)
            t.equal(f"{options}: system", total("system_bytes"), grown.system)
            t.check(abs(total("rss_bytes") - rss) < RSS_LAG, f"RSS {total('rss_bytes')}, {rss}")
            t.check(lines == sorted(lines, key=lambda x: x["time"]), "times go back")
            if "--no-stop" in options:
                t.equal("pauses", {x["pause_ns"] for x in lines}, {0})
            t.check(all(x["pause_ns"] < 2**30 for x in lines), "pauses")
            t.check(wait_for(lambda: untraced(victim.pid)), f"{options}: still traced")
            victim.grow()  # and it runs on


def series_forms(t, tool):
    with running(tool.build, TARGET) as victim:
        args = ["--interval", "0.05", "--count", 5, "-p", victim.pid]
        lines = [json.loads(line) for line in tool.run("-J", *args).out.splitlines()]
        t.equal("lines", len(lines), 5)
        rows = list(csv.DictReader(tool.run("-f", "csv", *args).out.decode().splitlines()))
        t.equal("rows", len(rows), 5)
        names = ["time", *[k for k in lines[0] if k in rows[0]]]
        for row, line in zip(rows, lines):
            t.equal("row", [row[n] for n in names if n.endswith("_bytes") and n != "rss_bytes"],
                    [field(line[n]) for n in names if n.endswith("_bytes") and n != "rss_bytes"])
            t.equal("change", row["change.in_use_bytes"], field(line["change"]["in_use_bytes"]))
        text = tool.run(*args).out.decode()
        t.equal("text", len(text.splitlines()), 6)
        widest = max(len(line.split("  (")[0]) for line in text.splitlines())  # (1 skipped)
        t.check(widest <= 80 and text.startswith("TIME "), text)
        bare = tool.run("-n", *args).out.decode()
        t.check(len(bare.splitlines()) == 5 and "TIME" not in bare, bare)
        exact = tool.run("-b", *args).out.decode()
        t.check(str(lines[0]["system_bytes"]) in exact, exact)
        with workplace() as place:
            path = os.path.join(place, "series.csv")
            good(t, tool.run("-o", path, *args))
            with open(path, encoding="ascii") as f:
                t.equal("rows of the file", len(f.readlines()), 6)
        for wrong in (["--interval", "0"], ["--interval", "-1"], ["--interval", "x"],
                      ["--interval", "nan"], ["--count", "3"], ["--interval", "1", "--count", "0"],
                      ["--interval", "1", "--chunks"], ["--interval", "1", "--holes", "3"],
                      ["--interval", "1", "--dry-run"], ["--interval", "1", "-f", "malloc_info"]):
            t.equal(f"{wrong}", tool.run(*wrong, "-p", victim.pid).status, 64)
        core = gcore(victim)
        t.equal("of a core", tool.run("--interval", "1", core).status, 64)
    t.equal("of nobody", tool.run("--interval", "1", "-p", 2**22 + 1).status, 2)


def series_timing(t, tool):
    """Nothing adds up: the n-th line comes n intervals after the first, skipped ones counted."""
    with running(tool.build, TARGET) as victim:
        out = tool.run("-J", "--interval", "0.1", "--count", 20, "-p", victim.pid).out
        lines = [json.loads(line) for line in out.splitlines()]
        at = lambda line: float(line["time"][17:23]) + 60 * float(line["time"][14:16])
        steps = sum(1 + line["skipped"] for line in lines[1:])
        took = (at(lines[-1]) - at(lines[0])) % 3600
        t.check(abs(took - 0.1 * steps) < 0.1, f"{steps} steps took {took:.3f} s")


def series_exec(t, tool):
    for options in ([], ["--no-stop"], ["--snapshot"]):
        program = subprocess.Popen(["bash", "-c", "sleep 1; exec sleep 1.5"])
        wait_for(lambda: b"bash" in open(f"/proc/{program.pid}/cmdline", "rb").read())
        time.sleep(0.3)
        with Series(tool, "-J", *options, "--interval", "0.2", "-p", program.pid) as series:
            first = series.line()
            program.wait()  # as long as it is a zombie, too, it has ended
            lines = [first, *series.rest()]
            events = [line["event"] for line in lines if line["event"] != "error"]
            t.equal(f"{options}: events", [e for e in events if e], ["exec", "end"])
            t.equal("the last", (lines[-1]["event"], lines[-1]["in_use_bytes"]), ("end", None))
            new = next(line for line in lines if line["event"] == "exec")
            t.check("sleep" in new["text"] and new["change"]["in_use_bytes"] is None, f"{new}")
            flawed = any(x["event"] == "error" or not x["complete"] for x in lines)
            t.equal(f"status {series.err}", series.process.returncode, int(flawed))
            for line in lines:
                check_schema(t, line, SERIES_SCHEMA)


def series_exec_alike(t, tool):
    """It executes itself, and nothing has another address: only the kernel's random bytes tell."""
    with workplace() as there:
        again, script = os.path.join(there, "again"), os.path.join(there, "script")
        with open(script, "w", encoding="utf-8") as f:
            f.write(f"[ -e {again} ] || {{ touch {again}; exec bash {script}; }}\n"  # with one environment
                    f"[ -e {again}.2 ] && sleep 1.5 && exit\n"
                    f"touch {again}.2; sleep 1.5; exec bash {script}\n")
        program = subprocess.Popen(["setarch", "-R", "bash", script])
        vector = lambda: open(f"/proc/{program.pid}/auxv", "rb").read()
        wait_for(lambda: os.path.exists(again + ".2"))
        before = vector()
        with Series(tool, "-J", "--interval", "0.2", "-p", program.pid) as series:
            wait_for(lambda: series.line()["event"] == "exec")
            t.equal("the auxiliary vector", vector(), before)
            t.equal("events", [e["event"] for e in series.rest() if e["event"] not in (None, "error")], ["end"])
        program.wait()


def series_end(t, tool):
    """Killed in between, in every form: a last line, and that is no failure."""
    for options, last in ([], b"the process has ended\n"), (["-f", "csv"], b",end,"), \
            (["-J"], b'"event":"end"'):
        with workplace() as there:
            victim = Grower(tool.build, there)
            series = Series(tool, *options, "--interval", "5", "-p", victim.pid)
            got = series.process.stdout.readline()
            got += b"" if options == ["-J"] else series.process.stdout.readline()
            start = time.monotonic()
            victim.close()
            rest, err = series.process.communicate(timeout=60)
            t.check(time.monotonic() - start < 3, "it was not noticed before the next line")
            t.equal(f"{options}: {err}", series.process.returncode, 0)
            t.check(last in rest and len(rest.splitlines()) == 1, f"{options}: {rest}")


def series_interrupted(t, tool):
    """^C and the like: status 0, nothing but whole lines, a file that appears; a target that runs on."""
    with running(tool.build, TARGET) as victim, workplace() as place:
        before = thread_states(victim.pid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for options in (["--interval", "30"], ["--interval", "0.01"],
                            ["--interval", "0.01", "--snapshot"]):
                with Series(tool, "-J", *options, "-p", victim.pid) as series:
                    series.line()
                    series.process.send_signal(number)
                    out, err = series.process.communicate(timeout=30)
                    t.equal(f"{number} {options}: {err}", series.process.returncode, 0)
                    t.check(not out or out.endswith(b"\n"), f"half a line: {out[-80:]}")
                t.equal(f"{number} {options}: target", settled(victim.pid, before), before)
        path = os.path.join(place, "series.jsonl")
        with Series(tool, "-o", path, "--interval", "0.05", "-p", victim.pid) as series:
            wait_for(lambda: os.listdir(place) and os.path.getsize(
                os.path.join(place, os.listdir(place)[0])) > 2000, 20)
            t.check(not os.path.exists(path), "it is there too early")
            series.process.send_signal(signal.SIGINT)
            series.process.wait(timeout=30)
            with open(path, encoding="utf-8") as f:
                t.check(len([json.loads(line) for line in f]) > 1, "few lines")
        t.equal("files", os.listdir(place), ["series.jsonl"])


def series_interrupted_look(t, tool):
    """^C on a terminal is for all of us at once: the look may end by it before we have heard of it."""
    with running(tool.build, TARGET) as victim:
        for _ in range(25):
            options = ("-J", "--interval", "0.01", "-p", victim.pid)
            with Series(tool, *options, start_new_session=True) as series:
                series.line()
                time.sleep(random.uniform(0, 0.04))
                os.killpg(series.process.pid, signal.SIGINT)
                lines = series.rest()
            t.equal(f"{series.err}", series.process.returncode, 0)
            t.check(all(line["complete"] and not line["event"] for line in lines), f"{lines[-1:]}")


def own_memory(pid):
    """In KiB; a sanitizer, which reserves terabytes, keeps what was freed for some time."""
    sanitized = status_bytes(pid, "VmSize") >> 40
    return 0 if sanitized else (status_bytes(pid, "VmData") + status_bytes(pid, "RssAnon")) >> 10


def series_memory(t, tool):
    """What one look takes is not there in the next; and each is in the sandbox, which we are not."""
    with running(tool.build, TARGET) as victim:
        args = ["-J", "--interval", "0.01", "-p", victim.pid]
        with Series(tool, *args) as series:
            lines = [series.line() for _ in range(30)]
            early, files = own_memory(series.process.pid), os.listdir(f"/proc/{series.process.pid}/fd")
            lines += [series.line() for _ in range(200)]
            late = own_memory(series.process.pid)
            t.check(late <= early + 256, f"{early} KiB grew to {late} KiB")
            now = os.listdir(f"/proc/{series.process.pid}/fd")
            t.check(len(now) <= len(files) + 2, f"files: {len(files)}, {len(now)}")
            with open(f"/proc/{series.process.pid}/status", encoding="ascii") as f:
                t.check("Seccomp:\t0" in f.read(), "the one that opens files is in the sandbox")
        t.equal("sandbox", len({line["sandbox"] for line in lines}), 1)
        one = tool.run("-J", "-p", victim.pid).json()["method"]["sandbox"]
        t.equal("sandbox", lines[0]["sandbox"], one)


def series_sandbox(t, tool):
    """Each look has the sandbox of a single report, and the target runs on where it ends a look."""
    needs_sandbox(tool)
    with running(tool.build, TARGET) as victim, workplace() as place:
        before, intruder = thread_states(victim.pid), Intruder(tool, place, victim)
        for options in ([], ["--no-stop"], ["--snapshot"]):
            args = (*options, "-J", "--interval", "0.1", "--count", 3, "-p", victim.pid)
            ran = intruder.tries("socket", *args)
            t.equal(str(ran), (ran.status, ran.out), (2, b""))
            t.check(b"forbade the system call socket" in ran.err, str(ran))
            t.equal("target", settled(victim.pid, before), before)
            ran = intruder.tries("raise", *args)
            t.check(good(t, ran) and len(ran.out.splitlines()) == 3, str(ran))
        t.check(intruder.unharmed(), "the file has changed")


# ---- where it is written to ----------------------------------------------------------------------


def all_forms(victim, place, tool):
    """Whatever heapwalk writes, as arguments."""
    a = save(tool, place, "a.json", "-p", victim.pid)
    pid = ["-p", victim.pid]
    return [
        pid, ["-J", *pid], ["-f", "csv", *pid], ["-f", "malloc_info", *pid], ["-f", "malloc_stats", *pid],
        ["--chunks", *pid], ["--chunks", "-J", *pid], ["--chunks", "-f", "csv", *pid],
        ["--chunks", "-r", *pid], ["--holes", 5, *pid], ["--check", *pid], ["--whatis", "0", *pid],
        ["--dry-run", *pid], ["--dry-run", "-J", *pid], ["--columns", "index", *pid],
        ["--table", "threads", "-J", *pid], ["--table", "holes", "-f", "csv", *pid],
        ["--diff", a, a], ["--diff", a, a, "-J"], ["--diff", a, a, "-f", "csv"],
        *[["--interval", "0.01", "--count", 3, *form, *pid] for form in ([], ["-J"], ["-f", "csv"])],
        ["--columns", "help"], ["--help"], ["-V"],
    ]


def written(tool, args, stdout, **kwargs):
    done = subprocess.run([*tool.command, *map(str, args)], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, env=tool.env, timeout=60, check=False, **kwargs)
    return done.returncode, done.stderr


def close_stdout():
    os.close(1)


def close_all():
    for fd in (0, 1, 2):
        os.close(fd)


def small_files():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))


def outputs(t, tool):
    tool = without_leak_check(tool.build)
    with running(tool.build, TARGET) as victim, workplace() as place, workplace() as there:
        before = thread_states(victim.pid)
        for args in all_forms(victim, place, tool):
            ran = tool.run(*args)
            t.equal(str(ran), ran.status, 0)
            t.check(ESCAPE not in ran.out and ran.out.endswith(b"\n") and b"\r" not in ran.out,
                    f"{args}: control codes in a pipe")
            with open("/dev/full", "wb") as full:
                status, err = written(tool, args, full)
            t.check(status == 2 and b"space" in err, f"{args}: full: {status} {err}")
            status, err = written(tool, args, None, preexec_fn=close_stdout)
            t.check(status == 2 and b"standard output" in err, f"{args}: closed: {status} {err}")
            status, _ = written(tool, args, None, preexec_fn=close_all)
            t.equal(f"{args}: all closed", status, 2)
            check_gone_reader(t, tool, args)
            if not {"-V", "--help"} & set(args):
                path = os.path.join(there, "r.txt")
                form = [] if {"-J", "-f"} & set(map(str, args)) else ["-f", "text"]
                status, err = written(tool, [*form, "-o", path, *args], subprocess.DEVNULL,
                                      preexec_fn=small_files)
                t.check(status == 2 and b"too large" in err, f"{args}: limit: {status} {err}")
                t.equal(f"{args}: files", os.listdir(there), [])
        t.equal("target", settled(victim.pid, before), before)


def check_gone_reader(t, tool, args):
    """Quiet, by the signal that is meant for it; or an error, where that is ignored."""
    for ignored in (False, True):
        reader, writer = os.pipe()
        os.close(reader)
        setting = signal.SIG_IGN if ignored else signal.SIG_DFL
        status, err = written(tool, args, writer, restore_signals=False,
                              preexec_fn=lambda: signal.signal(signal.SIGPIPE, setting))
        os.close(writer)
        if ignored:
            t.check(status == 2 and b"Broken pipe" in err, f"{args}: gone: {status} {err}")
        else:
            t.equal(f"{args}: gone: {err}", (status, b"Broken" in err), (-signal.SIGPIPE, False))


def closed_stderr(t, tool):
    """Nobody to complain to is no reason not to report, nor to write into what was opened instead."""
    with running(tool.build, TARGET) as victim:
        core = gcore(victim)
        size = os.path.getsize(core)
        for args in ([core], ["-J", core], ["--chunks", core], ["-p", victim.pid],
                     ["--snapshot", "-p", victim.pid], ["--chunks", "-p", victim.pid]):
            whole = tool.run(*args).out
            done = subprocess.run([*tool.command, *map(str, args)], stdout=subprocess.PIPE,
                                  env=tool.env, timeout=60, check=False,
                                  preexec_fn=lambda: (os.close(0), os.close(2)))
            t.equal(f"{args}: status", done.returncode, 0)
            t.equal(f"{args}: lines", len(done.stdout.splitlines()), len(whole.splitlines()))
        t.equal("the core", os.path.getsize(core), size)


def run(suite, tool, _args):
    suite.run("scripts/tables", tables, tool)
    suite.run("scripts/sorting", sorting, tool)
    suite.run("scripts/wrong-tables", wrong_tables, tool)
    suite.run("scripts/chunks", chunks, tool)
    suite.run("scripts/diff-growth", diff_growth, tool)
    suite.run("scripts/diff-arenas", diff_arenas, tool)
    suite.run("scripts/diff-older", diff_older, tool)
    suite.run("scripts/diff-hostile", diff_hostile, tool)
    suite.run("scripts/series-growth", series_growth, tool)
    suite.run("scripts/series-forms", series_forms, tool)
    suite.run("scripts/series-timing", series_timing, tool)
    suite.run("scripts/series-exec", series_exec, tool)
    suite.run("scripts/series-exec-alike", series_exec_alike, tool)
    suite.run("scripts/series-end", series_end, tool)
    suite.run("scripts/series-interrupted", series_interrupted, tool)
    suite.run("scripts/series-interrupted-look", series_interrupted_look, tool)
    suite.run("scripts/series-memory", series_memory, tool)
    suite.run("scripts/series-sandbox", series_sandbox, tool)
    suite.run("scripts/outputs", outputs, tool)
    suite.run("scripts/closed-stderr", closed_stderr, tool)
