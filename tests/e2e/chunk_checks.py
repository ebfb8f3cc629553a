"""Checks on the listing of chunks: against the report, and block by block against the oracle."""

import csv
from collections import Counter, defaultdict

from machine import machine_of

# State in the listing -> name of the figure; top and overhead are counted by bytes only.
FIGURES = {"in use": "in_use", "tcache": "tcache", "fastbin": "fastbin", "bin": "bin"}
BYTES_ONLY = {"top": "top", "overhead": "overhead"}


class Chunk:
    __slots__ = ("address", "pointer", "bytes", "state", "arena", "tid")

    def __init__(self, row):
        self.address = int(row["address"], 16)
        self.pointer = int(row["pointer"], 16) if row["pointer"] else None
        self.bytes = int(row["bytes"])
        self.state = row["state"]
        self.arena = int(row["arena"]) if row["arena"] not in ("", "-1") else None
        self.tid = int(row["tid"]) if row["tid"] not in ("", "0") else None


def parse(out):
    return [Chunk(row) for row in csv.DictReader(out.decode().splitlines())]


def check_order(t, chunks):
    """Ascending and disjoint within a heap; heaps of an arena may come in any order."""
    seen = sorted((c.address, c.address + c.bytes) for c in chunks)
    for (start, end), (following, _) in zip(seen, seen[1:]):
        if not t.check(end <= following, f"{start:#x} to {end:#x} overlaps {following:#x}"):
            break
    steps_back = defaultdict(int)
    for before, after in zip(chunks, chunks[1:]):
        if before.arena == after.arena and after.address < before.address:
            steps_back[before.arena] += 1
    return steps_back


def check_states(t, chunks, report):
    counts, sums = Counter(), Counter()
    for c in chunks:
        counts[c.arena, c.state] += 1
        sums[c.arena, c.state] += c.bytes
    known = {*FIGURES, *BYTES_ONLY, "mmapped"}
    t.equal("unknown states", {c.state for c in chunks} - known, set())
    for arena in report["arenas"]:
        i = arena["index"]
        for state, name in FIGURES.items():
            t.equal(f"arena {i}: {state} chunks", counts[i, state], arena[name + "_chunks"])
            t.equal(f"arena {i}: {state} bytes", sums[i, state], arena[name + "_bytes"])
        for state, name in BYTES_ONLY.items():
            t.equal(f"arena {i}: {state} bytes", sums[i, state], arena[name + "_bytes"])
    t.equal("mmapped chunks", counts[None, "mmapped"], report["totals"]["mmapped_chunks"])


def check_heap_order(t, chunks, report):
    steps_back = check_order(t, chunks)
    for arena in report["arenas"]:
        i = arena["index"]
        most = max(0, len(arena["heaps"]) - 1)
        t.check(steps_back[i] <= most, f"arena {i}: addresses step back {steps_back[i]} times")


def check_tcaches(t, chunks, report):
    counts = Counter(c.tid for c in chunks if c.state == "tcache")
    sums = Counter()
    for c in chunks:
        if c.state == "tcache":
            sums[c.tid] += c.bytes
    for row in report["threads"]:
        got = (counts.pop(row["tid"], 0), sums[row["tid"]])
        t.equal(f"listed tcache of {row['tid']}", got, (row["tcache_chunks"], row["tcache_bytes"]))
    t.equal("tcache chunks of nobody", dict(counts), {})


def check_blocks(t, chunks, blocks, foreign, used_cost, mmapped_cost):
    """Every live block is there with its usable size, and next to nothing else is."""
    missing = dict(blocks)
    others = []
    for c in chunks:
        if c.state not in ("in use", "mmapped"):
            t.check(c.pointer not in missing, f"block {c.pointer or 0:#x} is live, not {c.state}")
            continue
        cost = mmapped_cost if c.state == "mmapped" else used_cost
        usable = missing.pop(c.pointer, None)
        if usable is None:
            others.append(c)
        else:
            t.equal(f"usable size of {c.pointer:#x} ({c.state})", c.bytes - cost, usable)
    t.equal("live blocks that are not listed", [hex(p) for p in list(missing)[:5]], [])
    sizes = Counter(f"{c.bytes} {c.state}" for c in others)
    explained = ", ".join(f"{n} of {s} bytes" if " " not in s else f"{n} x {s}"
                          for s, n in sizes.most_common(6))
    t.equal(f"in-use chunks that are not the victim's ({explained})", len(others), foreign)
    t.note(f"{len(blocks)} blocks, {len(others)} others")


def check_chunks(t, out, report, victim, foreign):
    chunks, word = parse(out), machine_of(report).word
    check_heap_order(t, chunks, report)
    check_states(t, chunks, report)
    check_tcaches(t, chunks, report)
    check_blocks(t, chunks, victim.blocks(), foreign, victim.expected("used_cost", word),
                 victim.expected("mmapped_cost", 2 * word))
    return chunks
