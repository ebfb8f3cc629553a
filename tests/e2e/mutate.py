#!/usr/bin/python3
"""Random damage to real cores: heapwalk ends soon, with a status that is true, and totals that are possible.

    tests/e2e/mutate.py --build build --rounds 2000     many; check has a few hundred
    tests/e2e/mutate.py --build build --only SEED       one of them again; its core is kept

Every round has a seed of its own, which is printed where it fails; the core that it made then lies in
BUILD/mutated. Victims run without address space randomisation, so that a seed means the same damage the
next time.
"""

import argparse
import os
import random
import struct
import subprocess
import sys
import time

import chunk_checks
from cases import Case
from elfcore import PT_LOAD, headers, segments
from modes import kernel_core, running
from report_checks import PARTS, check_schema
from suite import Suite
from tool import Tool

CASES = [Case("mixed", "mixed", (500,)), Case("threads", "many-threads", (4, 40)),
         Case("fastbins", "fastbins"), Case("mmapped", "mmapped", ("fixed",)),
         Case("blocked-brk", "blocked-brk")]
SAME_PLACES = ("setarch", "-R")
SECONDS, SECONDS_SANITIZED = 20, 120  # for one core; it takes some hundredths
SCHEMA_EVERY = 16  # to check it takes longer than all the rest
HEADERS_BYTES = 6000  # headers and notes lie in the first ones
STATE_BYTES, PAR_BYTES, HEAP_INFO_BYTES = 2200, 144, 48


class Good:
    """A core as it was written, what heapwalk says of it, and what there is to damage in it."""

    def __init__(self, t, tool, victim):
        path = kernel_core(victim)
        with open(path, "rb") as f:
            self.data = f.read()
        self.copy = os.path.join(victim.directory, "mutated")
        ran = tool.run("-J", path)
        t.equal(f"the good core: {ran}", ran.status, 0)
        report = ran.json()
        self.segments = segments(self.data)
        self.chunks = chunk_checks.parse(tool.run("--chunks", "-f", "csv", path).out)
        self.arenas = [int(a["address"], 16) for a in report["arenas"]]
        self.heaps = [int(h["address"], 16) for a in report["arenas"][1:] for h in a["heaps"]]
        self.words = [int(report["allocator"]["main_arena"], 16), *self.heaps,
                      *[c.address for c in self.chunks[:: max(1, len(self.chunks) // 50)]]]

    def offset(self, address):
        """Where it lies in the file; None if it was not saved."""
        for start, offset, size in self.segments:
            if start <= address < start + size:
                return offset + address - start
        return None


# ---- damage --------------------------------------------------------------------------------------

ODD = (0, 1, 2, 8, 16, 17, 31, 33, 0x21000, 2**31, 2**47, 2**63, 2**64 - 1, 2**64 - 16, 0x4141414141414141)


def scribble(rng, good, data, offset):
    """Another word there: one bit flipped, an odd one, or one that means something elsewhere."""
    if offset is None or offset + 8 > len(data):
        return
    offset -= offset % 8
    old = struct.unpack_from("<Q", data, offset)[0]
    new = rng.choice((
        old ^ 1 << rng.randrange(64), old ^ 1 << rng.randrange(8), rng.choice(ODD),
        rng.choice(good.words) + rng.choice((0, 8, 16)), old + rng.choice((-16, -8, 8, 16, 4096)),
        rng.getrandbits(64)))
    struct.pack_into("<Q", data, offset, new % 2**64)


def in_headers(rng, good, data):
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(64 if rng.random() < 0.2 else HEADERS_BYTES)
        if rng.random() < 0.5:
            data[at] ^= 1 << rng.randrange(8)
        else:
            scribble(rng, good, data, at)


def in_arenas(rng, good, data):
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(3)
        if kind == 0 or not good.heaps:
            at = rng.choice(good.arenas) + rng.randrange(STATE_BYTES)
        elif kind == 1:
            at = rng.choice(good.heaps) + rng.randrange(HEAP_INFO_BYTES)
        else:  # the members behind the bins: the ring, system_mem
            at = rng.choice(good.arenas) + rng.randrange(STATE_BYTES - 64, STATE_BYTES)
        scribble(rng, good, data, good.offset(at))


def in_chunks(rng, good, data):
    """Headers, and the links behind those of free chunks."""
    for _ in range(rng.randint(1, 12)):
        chunk = rng.choice(good.chunks)
        scribble(rng, good, data, good.offset(chunk.address + 8 * rng.randrange(6)))


def overflow(rng, good, data):
    """A row of bytes from the middle of a chunk on."""
    at = good.offset(rng.choice(good.chunks).address + 24)
    if at is not None:
        length = rng.choice((1, 8, 100, 5000))
        row = bytes([rng.choice((0, 0x41, 0xff))]) * min(length, len(data) - at)
        data[at:at + len(row)] = row


def anywhere(rng, good, data):
    """Near main_arena lie mp_, tcache's neighbours and other variables of libc."""
    for _ in range(rng.randint(1, 30)):
        near = good.offset(good.arenas[0] + rng.randrange(-4096, 4096))
        at = rng.choice((near, rng.randrange(len(data))))
        scribble(rng, good, data, at)


def truncated(rng, good, data):
    del good
    del data[int(len(data) * rng.choice((rng.random(), rng.random() ** 4))):]


DAMAGES = (in_headers, in_arenas, in_chunks, overflow, anywhere, truncated)


def damaged(seed, good):
    """(what was done, the core afterwards)"""
    rng = random.Random(seed)
    data, done = bytearray(good.data), []
    for damage in rng.sample(DAMAGES, rng.choice((1, 1, 1, 2, 3))):
        done.append(damage.__name__)
        if len(data) > HEADERS_BYTES:
            damage(rng, good, data)
    return " and ".join(done), data


# ---- what must hold --------------------------------------------------------------------------------


def image_bytes(data):
    """Of all segments, saved or not; None where the headers cannot be read."""
    try:
        return sum(h.bytes for h in headers(data, PT_LOAD))
    except struct.error:
        return None


def check_row(t, where, row, limit):
    parts = {p: row[p + "_bytes"] for p in PARTS}
    t.equal(f"{where}: sum of parts", sum(parts.values()), row["system_bytes"])
    left = parts.pop("unaccounted")
    t.check(min(parts.values()) >= 0, f"{where}: something is negative: {parts}")
    if limit is not None:
        met = sum(parts.values()) + (row.get("mmapped_bytes") or 0)
        t.check(max(met, row["system_bytes"]) <= limit,
                f"{where}: {met} bytes met, {row['system_bytes']} of the system, {limit} in the image")
    return left


def check_report(t, where, ran, limit, with_schema):
    report = ran.json()
    if with_schema:
        check_schema(t, report)
    left = [check_row(t, f"{where}, arena {row.get('index', 'total')}", row, limit)
            for row in (report["totals"], *report["arenas"])]
    flaws = [f for f in report["findings"] if f["kind"] != "note"]
    t.equal(f"{where}: complete", report["complete"], ran.status == 0)
    t.equal(f"{where}: nothing is found to be wrong", not flaws, ran.status == 0)
    if report["check"] is not None:
        check_invariants(t, where, report)
    if ran.status == 0:
        t.check(not any(left), f"{where}: complete, but {left} bytes are unaccounted for")


def options_of(seed):
    """Every second one is checked, some of these as text; seeds of both kinds are in every case."""
    if seed // len(CASES) % 2 == 0:
        return ("-J",)
    return ("--check",) if seed // len(CASES) % 8 == 7 else ("--check", "-J")


def check_invariants(t, where, report):
    """What is broken is found somewhere, and nothing is broken that was not examined."""
    broken = {c["invariant"]: c["broken"] for c in report["check"] if c["broken"]}
    found = {f["invariant"] for f in report["findings"] if f["invariant"]}
    t.equal(f"{where}: findings of what holds", found - broken.keys(), set())
    if where.endswith("(truncated)"):
        t.equal(f"{where}: what is missing looks broken", broken, {})
    for c in report["check"]:
        t.check(c["verdict"] != "in_part" or not report["complete"], f"{where}: complete, but {c}")
        t.equal(f"{where}: {c}", c["verdict"] == "broken", c["broken"] > 0)


def check_checked_text(t, where, ran):
    t.check(b"\nCHECK\n" in ran.out, f"{where}: no CHECK in {ran.out[-500:]}")
    if ran.status == 0:
        t.check(b"BROKEN" not in ran.out and b"  in part" not in ran.out, f"{where}: {ran}")


def check_one(t, tool, good, seed, seconds):
    """Returns the status."""
    what, data = damaged(seed, good)
    where = f"seed {seed} ({what})"
    with open(good.copy, "wb") as f:
        f.write(data)
    before = len(t.failures)
    status = None
    try:
        options = options_of(seed)
        ran = tool.run(*options, good.copy, timeout=seconds)
        status = ran.status
        if not t.check(status in (0, 1, 2), f"{where}: {ran}"):
            pass
        elif status == 2:
            t.equal(f"{where}: stdout", ran.out, b"")
            t.equal(f"{where}: lines on stderr: {ran}", len(ran.err.splitlines()), 1)
        elif "-J" not in options:
            check_checked_text(t, where, ran)
        else:
            check_report(t, where, ran, image_bytes(data), seed % SCHEMA_EVERY == 0)
    except subprocess.TimeoutExpired:
        t.check(False, f"{where}: no end within {seconds} s")
    if len(t.failures) > before:
        keep(t, tool, data, seed)
    return status


def keep(t, tool, data, seed):
    place = os.path.join(tool.build, "mutated")
    os.makedirs(place, exist_ok=True)
    path = os.path.join(place, f"seed-{seed}.core")
    with open(path, "wb") as f:
        f.write(data)
    t.failures[-1] += f"; the core is {path}"


def is_sanitized(tool):
    with open(tool.path, "rb") as f:
        return b"__asan_init" in f.read()


def mutate(t, tool, case, seeds):
    seconds = SECONDS_SANITIZED if is_sanitized(tool) else SECONDS
    with running(tool.build, case, SAME_PLACES) as victim:
        good, seen, slowest = Good(t, tool, victim), {}, 0
        for seed in seeds:
            start = time.monotonic()
            status = check_one(t, tool, good, seed, seconds)
            slowest = max(slowest, time.monotonic() - start)
            seen[status] = seen.get(status, 0) + 1
        t.note(f"{len(seeds)} cores, seeds {seeds[0]} to {seeds[-1]}, the slowest took {slowest:.1f} s")
        t.note("statuses " + ", ".join(f"{k}: {v}" for k, v in sorted(seen.items(), key=str)))


def run_some(suite, tool, seeds):
    """The seeds are spread over the cases: a seed's case is always the same."""
    for number, case in enumerate(CASES):
        mine = [seed for seed in seeds if seed % len(CASES) == number]
        if mine:
            suite.run(f"mutate/{case.name}", mutate, tool, case, mine)


def run(suite, tool, args):
    run_some(suite, tool, range(args.mutations))


def main():
    parser = argparse.ArgumentParser(description="random damage to real cores")
    parser.add_argument("--build", default="build", help="directory with heapwalk and victims/")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed; they are numbers in a row")
    parser.add_argument("--only", type=int, metavar="SEED")
    parser.add_argument("names", nargs="*", help="run only cases whose name contains one of these")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.rounds)
    if args.only is not None:
        seeds = range(args.only, args.only + 1)
    suite = Suite(args.names)
    run_some(suite, Tool(args.build), seeds)
    return suite.summary()


if __name__ == "__main__":
    sys.exit(main())
