"""Checks on one report, alone and against the oracle."""

import json
import os

import jsonschema

from machine import machine_of

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, "..", "..", "docs", "report.schema.json")

# Every byte of an arena is one of these.
PARTS = ("in_use", "tcache", "fastbin", "bin", "top", "overhead", "unaccounted")
FREE = ("tcache", "fastbin", "bin", "top")
RESIDENCY = ("free_resident_bytes", "free_swapped_bytes", "free_returned_bytes")
# What the totals are the sum of the arenas of.
SUMMED = (
    [p + "_bytes" for p in PARTS]
    + ["system_bytes", "free_bytes", "in_use_chunks", "tcache_chunks", "fastbin_chunks"]
    + ["bin_chunks", "resident_bytes", "trim_bytes", *RESIDENCY]
)
# What differs between two looks at a heap that did not change.
VOLATILE = ("pause_ns", "walk_ns", "bytes_read")


def validator():
    with open(SCHEMA, encoding="utf-8") as f:
        schema = json.load(f)
    cls = jsonschema.validators.validator_for(schema)
    cls.check_schema(schema)
    return cls(schema)


def check_schema(t, report):
    for error in sorted(validator().iter_errors(report), key=str)[:3]:
        t.check(False, f"schema: {error.json_path}: {error.message[:300]}")


def check_complete(t, report):
    t.equal("schema_version", report["schema_version"], 1)
    t.equal("complete", report["complete"], True)
    bad = [f for f in report["findings"] if f["kind"] != "note"]
    t.equal("findings other than notes", bad, [])


def close_to(a, b):
    """Ratios, which may have been rounded for print."""
    return a is not None and b is not None and abs(a - b) < 5e-5


def check_figures(t, where, row, live):
    """The identities of one arena, or of the totals."""
    t.equal(f"{where}: unaccounted_bytes", row["unaccounted_bytes"], 0)
    t.equal(f"{where}: sum of parts", sum(row[p + "_bytes"] for p in PARTS), row["system_bytes"])
    t.equal(f"{where}: free_bytes", row["free_bytes"], sum(row[p + "_bytes"] for p in FREE))
    check_ratios(t, where, row)
    check_residency(t, where, row, live)


def check_residency(t, where, row, live):
    """Known in full or not at all; never in a core."""
    names = (*RESIDENCY, "resident_bytes", "trim_bytes")
    unknown = [name for name in names if row[name] is None]
    if not live or unknown:
        t.equal(f"{where}: unknown", unknown, list(names))
        return
    t.equal(f"{where}: residency of free bytes", sum(row[n] for n in RESIDENCY), row["free_bytes"])
    t.check(
        0 <= row["trim_bytes"] <= row["free_resident_bytes"] + row["free_swapped_bytes"],
        f"{where}: trim_bytes {row['trim_bytes']} exceeds what is resident or swapped",
    )
    if "stays" in row and row["free_swapped_bytes"] == 0:
        stays = sum(row["stays"].values())
        whole = row["trim_bytes"] + stays
        t.equal(f"{where}: trim_bytes + stays", whole, row["free_resident_bytes"])


def check_ratios(t, where, row):
    frag, divisor = row["external_fragmentation"], sum(row[p + "_bytes"] for p in FREE[1:])
    if divisor == 0:
        t.equal(f"{where}: external_fragmentation of nothing", frag, None)
    else:
        want = 1 - row["largest_free_bytes"] / divisor
        t.check(close_to(frag, want), f"{where}: external_fragmentation {frag}, want {want:.6f}")
    whole = row["system_bytes"] if row["resident_bytes"] is None else row["resident_bytes"]
    if whole == 0:
        t.equal(f"{where}: utilization of nothing", row["utilization"], None)
    else:
        want = min(1.0, row["in_use_bytes"] / whole)
        got = row["utilization"]
        t.check(close_to(got, want), f"{where}: utilization {got}, want {want:.6f}")


def check_histogram(t, where, buckets, chunks, total):
    t.equal(f"{where}: chunks", sum(b["chunks"] for b in buckets), chunks)
    t.equal(f"{where}: bytes", sum(b["bytes"] for b in buckets), total)
    last = 0
    for b in buckets:
        whole = b["from"] > 0 and b["from"] & (b["from"] - 1) == 0 and b["to"] == 2 * b["from"] - 1
        t.check(whole, f"{where}: bucket {b['from']}..{b['to']} is no power of two")
        t.check(b["from"] > last, f"{where}: bucket {b['from']} out of order")
        fits = b["from"] * b["chunks"] <= b["bytes"] <= b["to"] * b["chunks"]
        t.check(fits, f"{where}: {b['chunks']} chunks cannot have {b['bytes']} bytes")
        last = b["from"]


def check_histograms(t, report):
    for where, row, buckets in [
        ("histogram", report["totals"], report["histogram"]),
        *((f"arena {a['index']} histogram", a, a["histogram"]) for a in report["arenas"]),
    ]:
        chunks = row["fastbin_chunks"] + row["bin_chunks"]
        check_histogram(t, where, buckets, chunks, row["fastbin_bytes"] + row["bin_bytes"])
    # What the program holds: chunks of arenas and those with mappings of their own.
    totals = report["totals"]
    chunks = totals["in_use_chunks"] + totals["mmapped_chunks"]
    total = totals["in_use_bytes"] + totals["mmapped_bytes"]
    check_histogram(t, "in_use_histogram", report["in_use_histogram"], chunks, total)


def check_sums(t, report):
    totals, arenas = report["totals"], report["arenas"]
    for name in SUMMED:
        if totals[name] is None:
            t.check(all(a[name] is None for a in arenas), f"{name}: null only in the totals")
        else:
            t.equal(f"sum of {name}", sum(a[name] for a in arenas), totals[name])
    largest = max((a["largest_free_bytes"] for a in arenas), default=0)
    t.equal("largest_free_bytes", totals["largest_free_bytes"], largest)


def check_arenas(t, report, live):
    alignment = machine_of(report).heap
    indices = [a["index"] for a in report["arenas"]]
    t.equal("arena indices", indices, [*range(len(indices))])
    t.equal("arena 0", report["arenas"][0]["kind"], "main")
    t.equal("arena 0 address", report["arenas"][0]["address"], report["allocator"]["main_arena"])
    for a in report["arenas"]:
        where = f"arena {a['index']}"
        check_figures(t, where, a, live)
        t.equal(f"{where}: locked", a["locked"], False)
        t.equal(f"{where}: top bytes", a["top"]["bytes"], a["top_bytes"])
        t.check(a["max_system_bytes"] >= a["system_bytes"], f"{where}: max_system_bytes too small")
        if a["index"]:
            t.equal(f"{where}: kind", a["kind"], "thread")
            t.equal(f"{where}: heaps", sum(h["bytes"] for h in a["heaps"]), a["system_bytes"])
            for h in a["heaps"]:
                t.equal(f"{where}: heap alignment", int(h["address"], 16) % alignment, 0)


def check_threads(t, report, tids):
    rows = {row["tid"]: row for row in report["threads"]}
    t.equal("threads", sorted(rows), sorted(tids))
    t.equal("target.threads", report["target"]["threads"], len(tids))
    for name in ("tcache_bytes", "tcache_chunks"):
        t.equal(f"sum of {name} over threads", sum(r[name] for r in rows.values()),
                report["totals"][name])
    for a in report["arenas"]:
        mine = sorted(tid for tid, r in rows.items() if r["arena"] == a["index"])
        t.equal(f"tids of arena {a['index']}", sorted(a["tids"]), mine)


def check_rss(t, report, live):
    """The parts add up; all of it may be unknown, as in a core."""
    parts = {k: v for k, v in (report["rss"] or {}).items() if v is not None}
    if parts:
        t.check(live, "resident bytes of a core")
        whole = parts.pop("rss_bytes")
        t.equal("sum of the rss parts", sum(parts.values()), whole)


def check_mallinfo2(t, report, victim):
    want = victim.mallinfo2()
    for name, value in want.items():
        t.equal(f"mallinfo2.{name}", report["mallinfo2"][name], value)
    t.equal("totals.system_bytes", report["totals"]["system_bytes"], want["arena"])
    t.equal("totals.mmapped_bytes", report["totals"]["mmapped_bytes"],
            want["hblkhd"] - victim.expected("mmapped_slip", 0))
    t.equal("totals.mmapped_chunks", report["totals"]["mmapped_chunks"], want["hblks"])


def check_expectations(t, report, victim):
    """What the victim itself knows and no function of malloc(3) tells."""
    for name, value in victim.expectations("param"):
        got = report["params"][name]
        t.equal(f"params.{name}", int(got) if got is not None else None, int(value))
    rows = {row["tid"]: row for row in report["threads"]}
    for tid, chunks, size in victim.expectations("tcache"):
        row = rows.get(int(tid), {})
        got = (row.get("tcache_chunks"), row.get("tcache_bytes"))
        t.equal(f"tcache of thread {tid}", got, (int(chunks), int(size)))
    for (arch,) in victim.expectations("arch"):
        t.equal("target.arch", report["target"]["arch"], arch)
    live = report["target"]["kind"] == "live"
    for (reason,) in victim.expectations("top_reason") if live else []:
        t.equal("reason of the main top", report["arenas"][0]["top"]["reason"], reason)


def check_report(t, report, live):
    """Everything that must hold for any complete report of any program."""
    check_schema(t, report)
    check_complete(t, report)
    check_figures(t, "totals", report["totals"], live)
    check_arenas(t, report, live)
    check_sums(t, report)
    check_histograms(t, report)
    check_rss(t, report, live)


def without_volatile(report):
    return {**report, "method": {k: v for k, v in report["method"].items() if k not in VOLATILE}}
