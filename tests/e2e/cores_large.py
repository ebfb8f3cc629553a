"""Cores that are larger than memory and hold next to nothing: read in time and memory of that."""

import json
import os
import struct
import subprocess
import sys

import chunk_checks
from cases import Case
from cores import problems
from elfcore import PT_LOAD, headers
from hostile import LAUNCHER, is_sanitized
from modes import check_core, kernel_core, running
from process import thread_states, workplace
from suite import Skip

PAGE = 4096


def measured(tool, *args):
    """Run heapwalk: its report, and what it took in MiB."""
    with workplace() as place:
        figures = os.path.join(place, "figures")
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, figures, "60", "-1", tool.path, "-J", *args],
            stdin=subprocess.DEVNULL, capture_output=True, env=tool.env, timeout=120, check=False)
        with open(figures, encoding="utf-8") as f:
            status, kib = json.load(f)
        return status, json.loads(done.stdout), kib / 1024


def sparse(t, tool):
    """4 GiB of which 1 % is data: read in time and memory of that."""
    case = Case("untouched", "untouched", (3880,), foreign=3)
    with running(tool.build, case) as victim:
        tids = list(thread_states(victim.pid))
        core = kernel_core(victim)
        held = os.stat(core).st_blocks * 512
        if held > os.path.getsize(core) // 10:
            raise Skip("the file system has no holes")
        t.note(f"{os.path.getsize(core) >> 20} MiB, of which {held >> 10} KiB are data")
        check_core(t, tool, case, victim, core, tids)
        status, report, mib = measured(tool, core)
        t.equal("status", status, 0)
        check_cheap(t, tool, report, mib, held)
        enlarge(core)
        status, huge, mib = measured(tool, core)
        t.equal("status with a TiB more", status, 0)
        t.equal("totals with a TiB more", huge["totals"], report["totals"])
        check_cheap(t, tool, huge, mib, held)
        spoil_mmapped(t, tool, core, report, held)


def check_cheap(t, tool, report, mib, held):
    method = report["method"]
    t.check(method["bytes_read"] < 2 * held + (4 << 20),
            f"{method['bytes_read'] >> 10} KiB read of {held >> 10} KiB")
    t.check(mib < 64 or is_sanitized(tool), f"took {mib:.0f} MiB")
    t.check(method["walk_ns"] < 3e9, f"the walk took {method['walk_ns'] / 1e9:.1f} s")
    t.note(f"{method['bytes_read'] >> 10} KiB read, {method['walk_ns'] / 1e6:.0f} ms, "
           f"{mib:.0f} MiB")


TIB = 1 << 40


def enlarge(core):
    """Another private mapping, of a TiB, of which the file has only a hole."""
    size = -(-os.path.getsize(core) // PAGE) * PAGE
    with open(core, "r+b") as f:
        data = bytearray(f.read(1 << 16))
        spare = headers(data, PT_LOAD)[-1]
        spare.flags, spare.address, spare.bytes, spare.saved = 6, 1 << 45, TIB, TIB
        spare.offset = size
        spare.store(data)
        f.seek(0)
        f.write(data)
        f.truncate(size + TIB)


def spoil_mmapped(t, tool, core, report, held):
    """One mmapped chunk cannot be found, so all memory is searched for it."""
    chunk = next(c for c in chunk_checks.parse(tool.run("--chunks", "-f", "csv", core).out)
                 if c.state == "mmapped")
    with open(core, "r+b") as f:
        data = bytearray(f.read(1 << 16))
        for h in headers(data, PT_LOAD):
            if h.address <= chunk.address < h.address + h.saved:
                f.seek(h.offset + chunk.address - h.address)
                f.write(struct.pack("<QQ", 0, 0))
    status, spoiled, mib = measured(tool, core)
    t.equal("status without a chunk", status, 1)
    t.equal("findings", [f["kind"] for f in problems(spoiled)], ["mmapped_mismatch"])
    t.equal("arenas", spoiled["totals"]["in_use_bytes"], report["totals"]["in_use_bytes"])
    check_cheap(t, tool, spoiled, mib, held)


def run(suite, tool, _args):
    suite.run("cores/sparse", sparse, tool)
