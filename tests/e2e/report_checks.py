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
SPLIT = ("resident_bytes", "swapped_bytes", "returned_bytes")
OF_PAGES = (*RESIDENCY, "resident_bytes", "in_use_resident_bytes", "trim_bytes",
            "trim_resident_bytes")
# What the totals are the sum of the arenas of.
SUMMED = (
    [p + "_bytes" for p in PARTS]
    + ["system_bytes", "free_bytes", "in_use_chunks", "tcache_chunks", "fastbin_chunks"]
    + ["bin_chunks", *OF_PAGES]
)
PAGE = 4096
# What differs between two looks at a heap that did not change.
VOLATILE = ("time", "pause_ns", "stops", "thread_pause_ns", "walk_ns", "bytes_read",
            "rss_bytes", "file_bytes", "shmem_bytes", "unexplained_bytes")


def validator(path=SCHEMA):
    with open(path, encoding="utf-8") as f:
        schema = json.load(f)
    cls = jsonschema.validators.validator_for(schema)
    cls.check_schema(schema)
    return cls(schema)


def check_schema(t, report, path=SCHEMA):
    for error in sorted(validator(path).iter_errors(report), key=str)[:3]:
        t.check(False, f"schema: {error.json_path}: {error.message[:300]}")


def check_complete(t, report):
    t.equal("schema_version", report["schema_version"], 1)
    t.equal("complete", report["complete"], True)
    bad = [f for f in report["findings"] if f["kind"] != "note"]
    t.equal("findings other than notes", bad, [])


def check_adds_up(t, what, report):
    """The identity, which holds whatever happened to the heap."""
    for row in (report["totals"], *report["arenas"]):
        parts = sum(row[p + "_bytes"] for p in PARTS)
        t.equal(f"{what}: sum of parts", parts, row["system_bytes"])


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
    t.check(0 <= row["packed_bytes"] - row["in_use_bytes"] < PAGE, f"{where}: packed_bytes")
    known = {name: row[name] for name in OF_PAGES}
    known.update(("stays." + k, v) for k, v in row["stays"].items())
    for name, split in row["free_by_kind"].items():
        known.update((f"free_by_kind.{name}.{k}", v) for k, v in split.items())
    known["page_fullness"] = row["page_fullness"]
    unknown = [name for name, value in known.items() if value is None]
    if not live or unknown:
        t.equal(f"{where}: unknown", unknown, list(known))
        return
    check_splits(t, where, row)
    check_fullness(t, where, row)
    t.check(row["in_use_resident_bytes"] <= row["in_use_bytes"],
            f"{where}: in_use_resident_bytes {row['in_use_resident_bytes']} is too much")
    whole = row["trim_resident_bytes"] + sum(row["stays"].values())
    t.equal(f"{where}: trim_resident_bytes + stays", whole, row["free_resident_bytes"])
    swapped = row["trim_bytes"] - row["trim_resident_bytes"]
    t.check(0 <= swapped <= row["free_swapped_bytes"],
            f"{where}: {swapped} swapped bytes of trim_bytes, {row['free_swapped_bytes']} in all")
    for name in ("trim_bytes", "trim_resident_bytes"):
        t.equal(f"{where}: {name} in whole pages", row[name] % PAGE, 0)


def check_splits(t, where, row):
    """The free bytes by their pages, in all and kind by kind."""
    t.equal(f"{where}: residency of free bytes", sum(row[n] for n in RESIDENCY), row["free_bytes"])
    for name, split in row["free_by_kind"].items():
        t.equal(f"{where}: {name}, split", sum(split.values()), row[name + "_bytes"])
    for name in SPLIT:
        parts = sum(split[name] for split in row["free_by_kind"].values())
        t.equal(f"{where}: {name} of all kinds", parts, row["free_" + name])
    for h in row.get("heaps", []):
        t.check(h["resident_bytes"] <= h["bytes"], f"{where}: resident_bytes of a heap")
    if row.get("heaps"):
        t.equal(f"{where}: resident_bytes of its heaps",
                sum(h["resident_bytes"] for h in row["heaps"]), row["resident_bytes"])
        for name in SPLIT:
            parts = sum(h["free"][name] for h in row["heaps"])
            t.equal(f"{where}: free {name} of its heaps", parts, row["free_" + name])


def check_fullness(t, where, row):
    """Every resident page is in one row; a page at the edge of two heaps may be in both."""
    rows = row["page_fullness"]
    pages = sum(b["bytes"] for b in rows)
    t.check(all(b["bytes"] % PAGE == 0 for b in rows), f"{where}: page_fullness in whole pages")
    t.equal(f"{where}: first row of page_fullness", rows[0]["from_percent"], 0)
    t.equal(f"{where}: last row of page_fullness", rows[-1]["to_percent"], 100)
    slack = PAGE * (1 + len(row.get("heaps", [])))
    if "heaps" in row:
        t.check(0 <= pages - row["resident_bytes"] <= slack,
                f"{where}: {pages} bytes in page_fullness, {row['resident_bytes']} resident")
    least = sum(b["from_percent"] * b["bytes"] for b in rows) / 100
    most = sum(b["to_percent"] * b["bytes"] for b in rows) / 100
    t.check(least <= row["in_use_resident_bytes"] <= most,
            f"{where}: {row['in_use_resident_bytes']} bytes do not fit into page_fullness")


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
    """The parts add up; all of it is unknown in a core."""
    rss = dict(report["rss"])
    unknown = [k for k, v in rss.items() if v is None]
    if not live or unknown:
        t.equal("rss: unknown", unknown, list(rss))
        return
    whole, left = rss.pop("rss_bytes"), rss["unexplained_bytes"]
    rss.pop("swap_bytes")
    t.equal("sum of the rss parts", sum(rss.values()), whole)
    t.check(abs(left) < max(whole // 100, 1 << 20), f"{left} of {whole} bytes of RSS unexplained")
    resident = report["totals"]["resident_bytes"]
    t.check(0 <= resident - rss["glibc_heap_bytes"] <= PAGE * len(report["arenas"]),
            f"{rss['glibc_heap_bytes']} bytes of heaps in the ledger, {resident} in the totals")


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
    first = [v["rule"] for v in report["verdict"]][:1]
    t.equal("says that it is incomplete", first == ["incomplete"], not report["complete"])


def without_volatile(report):
    """The kernel drops pages of files whenever it likes; texts tell them as shares of RSS."""
    method = {k: v for k, v in report["method"].items() if k not in VOLATILE}
    rss = {k: v for k, v in report["rss"].items() if k not in VOLATILE}
    rules = [v["rule"] for v in report["verdict"]]
    return {**report, "method": method, "rss": rss, "verdict": rules}
