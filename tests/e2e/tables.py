"""--table, --columns, --sort and --chunks, as scripts read them."""

import csv
import json

from cases import Case
from modes import gcore, good, running

TARGET = Case("target", "many-threads", (12, 100))


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
        twice = ["--table", "totals", "--columns", "in_use_bytes,in_use_bytes", core]
        rows = json.loads(tool.run("-J", *twice).out, object_pairs_hook=list)
        t.equal("keys of a column that is named twice", [key for key, _ in rows], ["in_use_bytes"])
        t.equal("it twice as csv", tool.run("-f", "csv", *twice).out.splitlines()[0], b"in_use_bytes,in_use_bytes")


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


def run(suite, tool, _args):
    suite.run("scripts/tables", tables, tool)
    suite.run("scripts/sorting", sorting, tool)
    suite.run("scripts/wrong-tables", wrong_tables, tool)
    suite.run("scripts/chunks", chunks, tool)
