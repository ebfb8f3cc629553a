"""--diff: what grew between two reports."""

import csv
import json
import os
import subprocess

from cases import Case
from grower import Grower, RSS_LAG
from modes import gcore, good, running
from process import status_bytes, workplace
from report_checks import check_schema
from text_checks import check_text
from tool import ESCAPE

DIFF_SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "diff.schema.json")
TARGET = Case("target", "many-threads", (12, 100))
SMALL, LARGE, SMALL_CLASS, LARGE_CLASS = 2000, 500, 128, 2048  # of the grower, sizes as buckets


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


def run(suite, tool, _args):
    suite.run("scripts/diff-growth", diff_growth, tool)
    suite.run("scripts/diff-arenas", diff_arenas, tool)
    suite.run("scripts/diff-older", diff_older, tool)
    suite.run("scripts/diff-hostile", diff_hostile, tool)
