"""Cores with a heap, or headers, that somebody scribbled over: a finding, never a crash."""

import os
import random

import chunk_checks
from cases import Case
from elfcore import offset_of, peek, poke
from modes import kernel_core, running
from report_checks import check_adds_up, check_schema

MIXED = Case("mixed", "mixed")
FAST = Case("fastbins", "fastbins")
MALLOC_STATE_BYTES = 2200  # at least so many in every version


class Core:
    """A good core in memory, what heapwalk says about it, and a place for damaged copies."""

    def __init__(self, tool, victim):
        path = kernel_core(victim)
        with open(path, "rb") as f:
            self.good = f.read()
        self.tool, self.copy = tool, os.path.join(victim.directory, "damaged")
        self.report = tool.run("-J", path).json()
        self.chunks = chunk_checks.parse(tool.run("--chunks", "-f", "csv", path).out)
        self.main_arena = int(self.report["allocator"]["main_arena"], 16)

    def some(self, state, arena=0, least=0):
        """A chunk from the middle of those in that state."""
        fitting = [c for c in self.chunks
                   if c.state == state and c.arena == arena and c.bytes >= least]
        return fitting[len(fitting) // 2]

    def member_of_main_arena(self, value):
        """Address of the word of main_arena that holds `value`."""
        for address in range(self.main_arena, self.main_arena + MALLOC_STATE_BYTES, 8):
            if peek(self.good, address) == value:
                return address
        raise ValueError(f"no word of main_arena is {value:#x}")

    def walk(self, data):
        with open(self.copy, "wb") as f:
            f.write(data)
        return self.tool.run("-J", self.copy, timeout=60)


def check_sound(t, what, report):
    """How much is unaccounted for depends on the damage."""
    check_schema(t, report)
    check_adds_up(t, what, report)


def check_partial(t, what, core, data):
    ran = core.walk(data)
    if not t.equal(f"{what}: {ran}", ran.status, 1):
        return
    report = ran.json()
    check_sound(t, what, report)
    kinds = sorted({f["kind"] for f in report["findings"] if f["kind"] != "note"})
    t.check(kinds, f"{what}: no finding")
    t.note(f"{what}: {' '.join(kinds)}")


def headers(t, tool):
    with running(tool.build, MIXED) as victim:
        core = Core(tool, victim)
        used, free = core.some("in use"), core.some("bin", least=64)
        far = core.some("in use", arena=1)
        for what, address, words in [
            ("size 0", used.address + 8, [0]),
            ("size 1", used.address + 8, [1]),
            ("size 16", used.address + 8, [17]),
            ("size of all memory", used.address + 8, [2**64 - 15]),
            ("size that wraps around", used.address + 8, [(2**64 - used.address) & ~15 | 1]),
            ("size beyond the heap", used.address + 8, [1 << 40 | 1]),
            ("text over a header", used.address, [0x4141414141414141] * 2),
            ("size in a thread arena", far.address + 8, [0x123457]),
            ("fd of a free chunk", free.address + 16, [0x1234]),
            ("fd and bk of a free chunk", free.address + 16, [free.address, free.address]),
            ("bk of a free chunk", free.address + 24, [2**64 - 8]),
            ("foot of a free chunk", free.address + free.bytes, [48]),
        ]:
            data = bytearray(core.good)
            poke(data, address, *words)
            check_partial(t, what, core, data)


def lists(t, tool):
    """Links of thread caches and fastbins: broken, in circles, out of the heap."""
    with running(tool.build, FAST) as victim:
        core = Core(tool, victim)
        for state in ("tcache", "fastbin"):
            chunk = core.some(state)
            link = chunk.address + 16
            itself = (link >> 12) ^ (link if state == "tcache" else chunk.address)
            for what, word in [("broken", 0x4242424242424242), ("circle", itself),
                               ("into nowhere", (link >> 12) ^ 0x1230)]:
                data = bytearray(core.good)
                poke(data, link, word)
                check_partial(t, f"{state} {what}", core, data)


def roots(t, tool):
    with running(tool.build, MIXED) as victim:
        core = Core(tool, victim)
        second = int(core.report["arenas"][1]["address"], 16)
        ring = core.member_of_main_arena(second)
        top = core.member_of_main_arena(int(core.report["arenas"][0]["top"]["address"], 16))
        for what, address, word in [
            ("ring into nowhere", ring, 0x1230),
            ("ring without an end", second + ring - core.main_arena, second),
            ("top into nowhere", top, 0x1230),
            ("top in the middle of a chunk", top, core.some("in use").address + 16),
            ("heap_info of a thread arena", second & ~((64 << 20) - 1), 0x4141414141414141),
        ]:
            data = bytearray(core.good)
            poke(data, address, word)
            check_partial(t, what, core, data)


def dice(t, tool):
    """Random bytes in headers of chunks: any status but a crash, and figures that add up."""
    rng = random.Random(11)
    with running(tool.build, Case("small", "mixed", (2000,))) as victim:
        core, seen = Core(tool, victim), {}
        for i in range(60):
            data = bytearray(core.good)
            for chunk in rng.sample(core.chunks, rng.randint(1, 8)):
                at = offset_of(data, chunk.address + 8)
                data[at + rng.randrange(8)] ^= 1 << rng.randrange(8)
            ran = core.walk(data)
            seen[ran.status] = seen.get(ran.status, 0) + 1
            if t.check(ran.status in (0, 1), f"round {i}: {ran}"):
                check_sound(t, f"round {i}", ran.json())
        t.note("statuses " + ", ".join(f"{k}: {v}" for k, v in sorted(seen.items())))


def elf_dice(t, tool):
    """Random bytes in the ELF header, the program headers and the notes."""
    rng = random.Random(12)
    with running(tool.build, Case("small", "mixed", (500,))) as victim:
        core, seen = Core(tool, victim), {}
        for i in range(80):
            data = bytearray(core.good)
            for _ in range(rng.randint(1, 10)):
                data[rng.randrange(8, 64 if i % 4 == 0 else 6000)] = rng.choice((0, 1, 127, 255))
            ran = core.walk(data)
            seen[ran.status] = seen.get(ran.status, 0) + 1
            if not t.check(ran.status in (0, 1, 2), f"round {i}: {ran}"):
                continue
            if ran.status == 2:
                t.equal(f"round {i}: stderr: {ran}", len(ran.err.splitlines()), 1)
            else:
                check_sound(t, f"round {i}", ran.json())
        t.note("statuses " + ", ".join(f"{k}: {v}" for k, v in sorted(seen.items())))


def run(suite, tool, _args):
    suite.run("damage/headers", headers, tool)
    suite.run("damage/lists", lists, tool)
    suite.run("damage/roots", roots, tool)
    suite.run("damage/dice", dice, tool)
    suite.run("damage/elf-dice", elf_dice, tool)
