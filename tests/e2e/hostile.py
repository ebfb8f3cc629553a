"""Cores made to wear heapwalk out: it ends soon, in little memory, with a finding."""

import json
import os
import signal
import struct
import subprocess
import sys

import chunk_checks
from cases import Case
from damage import MALLOC_STATE_BYTES, MIXED, Core, check_sound
from elfcore import (PT_LOAD, PT_NOTE, add_segments, headers, offset_of, peek, poke,
                     thread_note)
from modes import running

SECONDS, MIB = 15, 64

# What a child needs at most is known only to its parent; and a child that was forked from a process
# as large as ours begins with our size. So a small one starts it, with an alarm clock and a limit
# far above ours, which saves the machine.
LAUNCHER = """
import json, os, resource, signal, sys
figures, seconds, limit, *command = sys.argv[1:]
pid = os.fork()
if pid == 0:
    signal.alarm(int(seconds))
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    os.execv(command[0], command)
_, status, usage = os.wait4(pid, 0)
with open(figures, "w") as f:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss], f)
"""


def is_sanitized(tool):
    with open(tool.path, "rb") as f:
        return b"__asan_init" in f.read()


def check_bounded(t, tool, core, data, mib=MIB):
    """Walk it. Its report, if it was partial, as it must be."""
    with open(core.copy, "wb") as f:
        f.write(data)
    figures = os.path.join(os.path.dirname(core.copy), "figures")
    sanitized = is_sanitized(tool)  # needs much more of everything
    limits = [str(SECONDS), "-1" if sanitized else str(16 * MIB << 20)]
    done = subprocess.run([sys.executable, "-c", LAUNCHER, figures, *limits, tool.path, "-J",
                           core.copy], stdin=subprocess.DEVNULL, capture_output=True, env=tool.env,
                          timeout=4 * SECONDS, check=False)
    with open(figures, encoding="utf-8") as f:
        status, kib = json.load(f)
    t.note(f"{kib >> 10} MiB")
    t.check(kib < mib << 10 or sanitized, f"took {kib} KiB")
    if not t.equal(f"status ({-signal.SIGALRM}: too slow), {done.stderr[:300]}", status, 1):
        return None
    report = json.loads(done.stdout)
    check_sound(t, "report", report)
    return report


def enlarge_main_arena(core, data, system):
    """Make its system_mem, and the maximum behind that, `system`."""
    old = core.report["arenas"][0]["system_bytes"]
    for address in range(core.main_arena, core.main_arena + MALLOC_STATE_BYTES, 8):
        if peek(data, address) == old and peek(data, address + 8) >= old:
            poke(data, address, system, system)
            return
    raise ValueError("no system_mem")


def endless_gap(t, tool):
    """Behind a fence lies a hole of terabytes, and system_mem says that all of it is malloc's."""
    with running(tool.build, Case("gap", "foreign-sbrk", (65536, "zero"))) as victim:
        core = Core(tool, victim)
        data = bytearray(core.good)
        base = fence = int(core.report["arenas"][0]["heaps"][0]["address"], 16)
        while (size := peek(data, fence + 8) & ~7) != 16:
            fence += size
        loads = headers(data, PT_LOAD)
        heap = next(h for h in loads if h.address <= base < h.address + h.bytes)
        room = min(h.address for h in loads if h.address > heap.address) - heap.address
        enlarge_main_arena(core, data, 1 << 44)
        heap.bytes = min(room, 1 << 45)
        heap.saved = fence + 32 - heap.address
        heap.store(data)
        check_bounded(t, tool, core, data)


def last_page(t, tool):
    """Something is missing, and the memory to search ends where addresses do."""
    with running(tool.build, Case("blocked", "blocked-brk")) as victim:
        core = Core(tool, victim)
        data = bytearray(core.good)
        enlarge_main_arena(core, data, core.report["arenas"][0]["system_bytes"] + 4096)
        last = headers(data, PT_LOAD)[-1]
        last.flags, last.address = 6, 2**64 - 256
        last.saved = last.bytes = 128
        last.store(data)
        check_bounded(t, tool, core, data)


def endless_chunk(t, tool):
    """One mmapped chunk is missing, and a header says that more than half of all addresses are
    one: no power of two lies behind that."""
    with running(tool.build, Case("mmapped", "mmapped", ("fixed",))) as victim:
        core = Core(tool, victim)
        data = bytearray(core.good)
        poke(data, next(c for c in core.chunks if c.state == "mmapped").address, 0, 0)
        last = headers(data, PT_LOAD)[-1]
        last.flags, last.address, last.bytes = 6, 1 << 48, 2**64 - (1 << 49)
        last.offset, last.saved = len(data), 4096
        last.store(data)
        data += struct.pack("<QQ", 0, last.bytes | 2).ljust(last.saved, b"\0")
        check_bounded(t, tool, core, data)


def add_threads(data, count):
    """So many more threads like the first; a segment that nobody misses becomes their note."""
    note, tid = thread_note(data)
    spare = headers(data, PT_LOAD)[-1]
    spare.kind, spare.offset, spare.address = PT_NOTE, len(data), 0
    spare.saved, spare.bytes = count * len(note), 0
    for i in range(count):
        data += note[:tid] + struct.pack("<I", 1_000_000 + i) + note[tid + 4:]
    spare.store(data)


def tcache_bomb(t, tool):
    """Each list of a tcache runs in a circle of 65535 steps, and 1000 threads share it."""
    with running(tool.build, MIXED) as victim:
        core = Core(tool, victim)
        data = bytearray(core.good)
        heap = int(core.report["arenas"][0]["heaps"][0]["address"], 16)
        tcache, room = heap + 16, max(core.chunks, key=lambda c: c.bytes if c.arena == 0 else 0)
        t.check(room.bytes > 64 * 1100, "no chunk is large enough to build the lists in")
        for i in range(64):
            chunk = room.address + 64 + i * 1088
            poke(data, chunk, 0, (32 + 16 * i) | 1, ((chunk + 16) >> 12) ^ (chunk + 16))
            poke(data, tcache + 128 + 8 * i, chunk + 16)
            struct.pack_into("<H", data, offset_of(data, tcache + 2 * i), 65535)
        add_threads(data, 1000)
        report = check_bounded(t, tool, core, data)
        if report:
            t.check(len(report["threads"]) > 1000, "the threads were not seen")
            kinds = {f["kind"] for f in report["findings"]}
            t.check("bad_list" in kinds, f"no bad_list, only {kinds}")


def zeroed_link(t, tool):
    """Use after free: one link is cleared. One finding; what hung behind it is known by its mark."""
    with running(tool.build, Case("tcache", "tcache", (7, 7))) as victim:
        core = Core(tool, victim)
        data = bytearray(core.good)
        heap = int(core.report["arenas"][0]["heaps"][0]["address"], 16)
        lists = [peek(data, heap + 16 + 128 + 8 * i) for i in range(64)]
        head = next(pointer for pointer in lists if pointer)
        poke(data, head, 0)
        report = check_bounded(t, tool, core, data)
        if not report:
            return
        bad = [f for f in report["findings"] if f["kind"] != "note"]
        t.equal("findings", [f["kind"] for f in bad], ["bad_list"])
        listing = chunk_checks.parse(tool.run("--chunks", "-f", "csv", core.copy).out)
        before = {c.address: (c.bytes, c.state, c.tid) for c in core.chunks}
        after = {c.address: (c.bytes, c.state, c.tid) for c in listing}
        first = before[head - 16]
        lost = {a for a, chunk in before.items() if chunk == first and a != head - 16}
        t.check(lost, "the list had one entry only")
        differ = {hex(a) for a in before.keys() | after.keys() if before.get(a) != after.get(a)}
        t.equal("chunks that changed", differ, set())


# Where nothing else is, in pieces of two pages: so none is the neighbour of another.
FAR, APART = 1 << 44, 8192


def many_mappings(t, tool):
    """A mmapped chunk is missing, so all memory is searched: 150000 mappings that nobody may read."""
    with running(tool.build, Case("mmapped", "mmapped", ("fixed",))) as victim:
        core = Core(tool, victim)
        data = bytearray(core.good)
        poke(data, next(c for c in core.chunks if c.state == "mmapped").address, 0, 0)
        add_segments(data, [(0, FAR + i * APART, 0, 0, 4096) for i in range(150_000)])
        check_bounded(t, tool, core, data)


def many_mmapped(t, tool):
    """All but one of 200001 mmapped chunks are found, each in a mapping of its own."""
    with running(tool.build, Case("mmapped", "mmapped", ("fixed",))) as victim:
        core = Core(tool, victim)
        data, count = bytearray(core.good), 200_000
        data += bytes(-len(data) % 4096)
        page = len(data)
        data += struct.pack("<QQ", 0, 4096 | 2).ljust(4096, b"\0")
        params = core.report["params"]
        old = params["n_mmaps"] | params["n_mmaps_max"] << 32
        offset = offset_of(data, core.main_arena)
        at = next(i for i in range(offset - 8192, offset + 8192, 4)
                  if struct.unpack_from("<Q", data, i)[0] == old)
        struct.pack_into("<Q", data, at, old + count + 1)
        mapped = next(i for i in range(at, at + 64, 4)
                      if struct.unpack_from("<Q", data, i)[0] == params["mmapped_bytes"])
        struct.pack_into("<Q", data, mapped, params["mmapped_bytes"] + (count + 1) * 4096)
        add_segments(data, [(6, FAR + i * APART, page, 4096, 4096) for i in range(count)])
        report = check_bounded(t, tool, core, data, 2 * MIB)
        if report:
            t.equal("chunks", report["totals"]["mmapped_chunks"], params["n_mmaps"] + count)


def run(suite, tool, _args):
    suite.run("hostile/endless-gap", endless_gap, tool)
    suite.run("hostile/last-page", last_page, tool)
    suite.run("hostile/endless-chunk", endless_chunk, tool)
    suite.run("hostile/tcache-bomb", tcache_bomb, tool)
    suite.run("hostile/zeroed-link", zeroed_link, tool)
    suite.run("hostile/many-mappings", many_mappings, tool)
    suite.run("hostile/many-mmapped", many_mmapped, tool)
