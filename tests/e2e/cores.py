"""Cores as they come: cut off, filtered, of programs of all kinds. What is missing is named by arena,
place and size, and what is not missing is exact."""

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from dataclasses import replace

import chunk_checks
from badinput import check_refused
from cases import Case
from damage import check_adds_up
from elfcore import NT_FILE, PT_LOAD, headers, hide_notes
from hostile import LAUNCHER, is_sanitized
from modes import check_core, check_same_text, gcore, good, kernel_core, running
from process import Victim, thread_states, workplace
from report_checks import check_mallinfo2, check_report, check_threads
from suite import Skip

NOBODY = 65534
PAGE = 4096
VICTIMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "victims")
MIXED = Case("mixed", "mixed", foreign=3)


def load(path):
    with open(path, "rb") as f:
        return bytearray(f.read())


def store(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


def problems(report):
    return [f for f in report["findings"] if f["kind"] != "note"]


def notes(report):
    return [f["text"] for f in report["findings"] if f["kind"] == "note"]


# ---- programs ------------------------------------------------------------------------------------


def compiled(place, victim, *flags):
    """A victim made in another way; the build directory to name."""
    os.makedirs(os.path.join(place, "victims"), exist_ok=True)
    program = os.path.join(place, "victims", victim)
    sources = [os.path.join(VICTIMS, name + ".c") for name in (victim, "victim")]
    done = subprocess.run(
        [os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-builtin",
         "-pthread", *flags, "-o", program, *sources], capture_output=True, check=False)
    if done.returncode != 0:
        raise Skip(f"cc {' '.join(flags)} does not work here")
    return place


def static(t, tool, flag, stripped):
    """Of a static program; also when its file is gone, or named wrongly."""
    with workplace() as place:
        build = compiled(place, "mixed", flag)
        program = os.path.join(place, "victims", "mixed")
        if stripped:
            subprocess.run(["strip", program], check=True)
        with running(build, MIXED) as victim:
            case, tids = as_it_runs(tool, victim), list(thread_states(victim.pid))
            core = kernel_core(victim)
            check_core(t, tool, case, victim, core, tids)
            ran = tool.run("-J", core, "/bin/true")
            if good(t, ran):
                check_note(t, ran.json(), "/bin/true is not the file in memory: its build-id is")
            moved = program + ".moved"
            os.rename(program, moved)
            ran = tool.run("-J", core, moved)
            if good(t, ran):
                t.equal("notes with the right file", notes(ran.json()), [])
                check_mallinfo2(t, ran.json(), victim)
            ran = tool.run("-J", core, "/bin/true")
            t.check(ran.status in (0, 1, 2), str(ran))
            if ran.status == 2:
                check_refused(t, ran, words=["/bin/true is not the file in memory"])
            else:
                check_note(t, ran.json(), "/bin/true is not the file in memory: its build-id is")


def as_it_runs(tool, victim):
    """The case of a static program, whose C library has some chunks of its own."""
    out = tool.run("--chunks", "-f", "csv", "-p", victim.pid).out
    held = [c.pointer for c in chunk_checks.parse(out) if c.state in ("in use", "mmapped")]
    return replace(MIXED, foreign=len(set(held) - set(victim.blocks())))


def check_note(t, report, text):
    t.check(any(text in note for note in notes(report)), f"no {text!r} in {notes(report)}")


def wrong_exe(t, tool):
    """A program that is linked to libc is read without its file; another one named is told."""
    with running(tool.build, MIXED) as victim, workplace() as place:
        core = kernel_core(victim)
        ran = tool.run("-J", core, "/bin/true")
        if good(t, ran):
            check_note(t, ran.json(), "/bin/true is not the file in memory: its build-id is")
            check_mallinfo2(t, ran.json(), victim)
        for exe in (victim.exe, shutil.copy(victim.exe, os.path.join(place, "another-name"))):
            ran = tool.run("-J", core, exe)
            if good(t, ran):
                t.equal(f"notes of {exe}", notes(ran.json()), [])
        ran = tool.run("-J", core, core)
        if good(t, ran):
            check_note(t, ran.json(), "is not an ELF program or library")


def wrong_exe_without_build_id(t, tool):
    """Then only its name tells; it may have been renamed, so that is a doubt, no more."""
    with running(tool.build, MIXED) as victim:
        set_filter(victim, 0x23)
        core = kernel_core(victim)
        ran = tool.run("-J", core, "/bin/true")
        if good(t, ran):
            check_note(t, ran.json(), "/bin/true may be another program than " + victim.exe)
        ran = tool.run("-J", core, victim.exe)
        if good(t, ran):
            t.equal("notes of the right one", notes(ran.json()), [])


def setuid(t, tool):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv")
    with workplace() as place:
        os.chmod(place, 0o755)
        os.mkdir(os.path.join(place, "victims"))
        program = shutil.copy(os.path.join(tool.build, "victims", "setuid"),
                              os.path.join(place, "victims", "setuid"))
        os.chmod(program, 0o4711)
        out = os.path.join(place, "out")
        os.mkdir(out)
        somebody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        try:
            victim = Victim(place, out, "setuid", prefix=somebody)
        except RuntimeError as why:
            raise Skip(f"no setuid programs here: {why}") from why
        with victim:
            tids = list(thread_states(victim.pid))
            core = kernel_core(victim)
            check_core(t, tool, Case("setuid", "setuid"), victim, core, tids)


def thousand_threads(t, tool):
    case = Case("threads", "many-threads", (1000, 20), foreign=1 + 2 * 1000)
    with running(tool.build, case) as victim:
        tids = list(thread_states(victim.pid))
        core = kernel_core(victim)
        report = check_core(t, tool, case, victim, core, tids)
        if report:
            t.note(f"{len(report['threads'])} threads, {len(report['arenas'])} arenas")


# ---- what is saved -------------------------------------------------------------------------------


def set_filter(victim, bits):
    with open(f"/proc/{victim.pid}/coredump_filter", "w", encoding="ascii") as f:
        f.write(hex(bits))


def filters(t, tool):
    """Whatever more is saved, or less of files, private memory is all that is needed."""
    for bits in (0x01, 0x11, 0x21, 0x33, 0x3f, 0x7f):
        with running(tool.build, MIXED) as victim:
            tids = list(thread_states(victim.pid))
            set_filter(victim, bits)
            check_core(t, tool, MIXED, victim, kernel_core(victim), tids)


def no_private_memory(t, tool):
    for bits in (0x00, 0x10, 0x22):
        with running(tool.build, MIXED) as victim:
            set_filter(victim, bits)
            check_refused(t, tool.run(kernel_core(victim)),
                          words=["without the program's private memory", "coredump_filter"])


def no_note(t, tool):
    """A kernel leaves the list of files out if it is too long; ld.so has one, too."""
    for flags in ((), ("-static",), ("-static-pie",)):
        with workplace() as place:
            build = compiled(place, "mixed", *flags)
            with running(build, MIXED) as victim:
                case, tids = as_it_runs(tool, victim), list(thread_states(victim.pid))
                core = kernel_core(victim)
                data = load(core)
                t.equal("notes of files", hide_notes(data, NT_FILE), 1)
                report = check_core(t, tool, case, victim, store(core, data), tids)
                if report and not flags:
                    with_note = os.path.basename(report["allocator"]["libc"]["path"])
                    t.equal("libc", with_note, "libc.so.6")


# ---- missing parts -------------------------------------------------------------------------------


def in_file(data, start, end):
    """How many bytes of memory the core has, by its headers alone."""
    have = 0
    for h in headers(data, PT_LOAD):
        saved = min(h.saved, max(0, len(data) - h.offset))
        have += max(0, min(end, h.address + saved) - max(start, h.address))
    return have


def arena_at(report, address):
    for a in report["arenas"]:
        for h in a["heaps"]:
            start = int(h["address"], 16)
            if start <= address < start + h["bytes"]:
                return a["index"]
    return None


def expected_missing(data, report, parts):
    """{arena: (first address, bytes)} of the parts that the core does not have."""
    want = {}
    for start, size in sorted(parts):
        if in_file(data, start, start + size) == size:
            continue
        arena = arena_at(report, start)
        first, sum_ = want.get(arena, (start, 0))
        want[arena] = (first, sum_ + size - in_file(data, start, start + size))
    return want


def check_missing(t, report, want):
    """One finding for each arena that is not all there: which, where, how much."""
    got = {f["arena"]: (int(f["address"], 16), f["bytes"])
           for f in problems(report) if f["kind"] == "missing"}
    t.equal("missing", got, want)


def missing(t, tool, what, where, dump):
    """Parts inside of chunks are missing. All headers are there, so all else is exact."""
    case = Case("missing", "missing", (what, where), foreign=3 if where == "thread" else 1)
    with running(tool.build, case) as victim:
        tids = list(thread_states(victim.pid))
        core = dump(victim)
        ran = tool.run("-J", core)
        if not t.check(ran.status in (0, 1), str(ran)):
            return
        report, data = ran.json(), load(core)
        parts = [(int(a, 16), int(n)) for a, n in victim.expectations("missing")]
        want = expected_missing(data, report, parts)
        t.check(what != "dontdump" or want, "nothing is missing")
        t.equal("status", ran.status, 1 if want else 0)
        t.equal("kinds", {f["kind"] for f in problems(report)}, {"missing"} if want else set())
        check_missing(t, report, want)
        check_adds_up(t, "report", report)
        t.equal("unaccounted", report["totals"]["unaccounted_bytes"], 0)
        check_mallinfo2(t, report, victim)
        check_threads(t, report, tids)
        for name, file in (("malloc_info", "malloc_info.xml"),
                           ("malloc_stats", "malloc_stats.txt")):
            ran = tool.run("--format", name, core)
            check_same_text(t, name, ran.out, victim.text(file))
        ran = tool.run("--chunks", "-f", "csv", core)
        t.equal(str(ran), ran.status, 1 if want else 0)
        chunk_checks.check_chunks(t, ran.out, report, victim, case.foreign)
        t.note(f"{len(want)} findings" if want else "all is saved")


def missing_headers(t, tool, dump):
    """Whole pages of small chunks are missing: what lies outside of them is listed as before."""
    case = Case("missing", "missing", ("dontdump", "small"))
    with running(tool.build, case) as victim:
        before = chunk_checks.parse(tool.run("--chunks", "-f", "csv", "-p", victim.pid).out)
        core = dump(victim)
        ran = tool.run("-J", core)
        if not t.equal(str(ran), ran.status, 1):
            return
        report, data = ran.json(), load(core)
        parts = [(int(a, 16), int(n)) for a, n in victim.expectations("missing")]
        check_missing(t, report, expected_missing(data, report, parts))
        check_adds_up(t, "report", report)
        t.equal("system bytes", report["totals"]["system_bytes"], victim.mallinfo2()["arena"])
        check_unreadable(t, report, parts)
        after = {c.address: c for c in
                 chunk_checks.parse(tool.run("--chunks", "-f", "csv", core).out)}
        lost = sum(c.bytes for c in before if c.address not in after)
        check_survivors(t, before, after, parts)
        t.equal("unaccounted", report["totals"]["unaccounted_bytes"], lost)


def check_unreadable(t, report, parts):
    """The walk ended where each part begins, and went on soon behind it."""
    got = [f for f in problems(report) if f["kind"] == "unreadable"]
    t.equal("unreadable at", [int(f["address"], 16) for f in got], [a for a, _ in sorted(parts)])
    for f, (_, size) in zip(got, sorted(parts)):
        t.check(size <= f["bytes"] <= size + 4 * 144, f"{f['bytes']} lost for {size}")


def check_survivors(t, before, after, parts):
    def is_there(address):
        return not any(a <= address < a + n for a, n in parts)

    for c in before:
        known = is_there(c.address) and is_there(c.address + c.bytes)
        if not known:
            continue
        got = after.pop(c.address, None)
        if not t.check(got and got.bytes == c.bytes, f"chunk {c.address:#x} is not as before"):
            return
        # A list that leads through what is missing ends there.
        kept = got.state == c.state or (c.state in ("tcache", "fastbin") and got.state == "in use")
        t.check(kept, f"chunk {c.address:#x} is {got.state}, was {c.state}")
    t.equal("chunks out of nothing", [hex(a) for a in after
                                      if not any(c.address == a for c in before)], [])


def unread_guards(t, tool):
    """gcore saves a mapping with guard pages that it cannot read as zeros: that is said."""
    with running(tool.build, Case("missing", "missing", ("guard", "main"))) as victim:
        if not victim.expectations("missing"):
            raise Skip("this kernel has no MADV_GUARD_INSTALL")
        [(address, _)] = victim.expectations("missing")
        live = tool.run("-J", "-p", victim.pid)
        if good(t, live):
            check_mallinfo2(t, live.json(), victim)
        core = gcore(victim)
        ran = tool.run("-J", core)
        if not t.equal(str(ran), ran.status, 1):
            return
        report = ran.json()
        check_adds_up(t, "report", report)
        bad = [f for f in problems(report) if f["kind"] == "bad_chunk" and f["arena"] == 0]
        t.check(bad, f"no bad_chunk in {problems(report)}")
        zeros = zeros_around(load(core), int(address, 16))
        t.check(any(int(f["address"], 16) + 16 in zeros for f in bad), f"{bad} not in {zeros}")
        check_note(t, report, "gcore saves as zeros what it cannot read")


def zeros_around(data, address):
    """The addresses of the zeros that the core has around that one."""
    for h in headers(data, PT_LOAD):
        if h.address <= address < h.address + h.saved:
            before = bytes(data[h.offset:h.offset + address - h.address]).rstrip(b"\0")
            return range(h.address + len(before), address + 1)
    raise ValueError("not in the core")


def reserved_tails(t, tool):
    """gcore saves what a thread arena has only reserved, as zeros that can be read."""
    case = Case("threads", "many-threads", (4, 100), foreign=1 + 2 * 4)
    with running(tool.build, case) as victim:
        tids = list(thread_states(victim.pid))
        core = gcore(victim)
        report = check_core(t, tool, case, victim, core, tids)
        if not report:
            return
        data, lies = load(core), 0
        for a in report["arenas"][1:]:
            end = int(a["heaps"][0]["address"], 16) + a["heaps"][0]["bytes"]
            lies += any(h.address <= end < h.address + h.saved for h in headers(data, PT_LOAD))
        t.note(f"{lies} of {len(report['arenas']) - 1} tails were saved")


# ---- cut off -------------------------------------------------------------------------------------


def limited_core(victim, limit):
    resource.prlimit(victim.pid, resource.RLIMIT_CORE, (limit, limit))
    return kernel_core(victim)


THREADS = Case("threads", "many-threads", (4, 300), foreign=1 + 2 * 4)
SAME_ADDRESSES = ("setarch", "-R")


def limited_static(t, tool):
    """`ulimit -c`: a static program's own data come first, so its arenas are known; what of them was
    cut off is told for each."""
    if not shutil.which("setarch"):
        raise Skip("needs setarch")
    with workplace() as place:
        build = compiled(place, "many-threads", "-static")
        with running(build, THREADS, SAME_ADDRESSES) as victim:
            core = kernel_core(victim)
            whole, path = load(core), core
            report = tool.run("-J", core).json()
            arenas = sorted(int(a["address"], 16) for a in report["arenas"][1:])
            limits = [limit_within(path, whole, arena) for arena in (arenas[0], arenas[-1])]
        for limit in limits:
            cut_at(t, tool, build, limit)


def limit_within(path, data, arena):
    """A limit that ends in the heap of that arena. Holes do not count."""
    [segment] = [h for h in headers(data, PT_LOAD) if h.address <= arena < h.address + h.saved]
    end, held, at = segment.offset + segment.saved // 2, 0, 0
    with open(path, "rb") as f:
        while at < end:
            at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            hole = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            held += max(0, min(hole, end) - at)
            at = hole
    return held // PAGE * PAGE


def cut_at(t, tool, build, limit):
    """Once more, with that limit."""
    with running(build, THREADS, SAME_ADDRESSES) as victim:
        live = tool.run("-J", "-p", victim.pid).json()
        core = limited_core(victim, limit)
        ran = tool.run("-J", core)
        if not t.equal(str(ran), ran.status, 1):
            return
        report, data = ran.json(), load(core)
        check_adds_up(t, "report", report)
        check_cut_arenas(t, report, live, data)
        [cut] = [f for f in problems(report) if f["kind"] == "truncated_core"]
        end = max(h.offset + h.saved for h in headers(data, PT_LOAD))
        t.equal("bytes cut off", cut["bytes"], end - len(data))


def check_cut_arenas(t, report, live, data):
    """Arenas that are all there are as they were; the others say how much of them is not."""
    want, same = {}, 0
    others = {a["address"]: a for a in live["arenas"]}
    for a in report["arenas"]:
        heaps = [(int(h["address"], 16), h["bytes"]) for h in a["heaps"]]
        lost = sum(n - in_file(data, start, start + n) for start, n in heaps)
        if lost:
            first = min(start + in_file(data, start, start + n) for start, n in heaps)
            want[a["index"]] = (first, lost)
            continue
        same += 1
        for name, figure in FIGURES.items():
            t.equal(f"arena {a['index']}: {name}", figure(a), figure(others[a["address"]]))
    t.check(want and same, f"{len(want)} arenas cut off, {same} whole ones")
    check_missing(t, report, want)
    t.note(f"{same} arenas whole, {len(want)} cut off")


# Stacks come last, and a thread's tcache cannot be found without: what it holds looks in use.
FIGURES = {
    **{name: lambda a, name=name: a[name]
       for name in ("system_bytes", "bin_bytes", "fastbin_bytes", "unaccounted_bytes")},
    "top": lambda a: (a["top"]["address"], a["top"]["bytes"]),
    "in use or cached": lambda a: (a["in_use_bytes"] + a["tcache_bytes"],
                                   a["in_use_chunks"] + a["tcache_chunks"]),
}


def limited_dynamic(t, tool):
    """libc's data come last, and nothing can be told without them; but why is."""
    with running(tool.build, MIXED) as victim:
        core = limited_core(victim, 1 << 20)
        size = os.path.getsize(core)
        check_refused(t, tool.run(core), words=["truncated", f"ends after {size} of", "ulimit -c"])


# ---- large, and next to nothing in it ------------------------------------------------------------


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
    t.note(f"{method['bytes_read'] >> 10} KiB read in {method['walk_ns'] / 1e6:.0f} ms, {mib:.0f} MiB")


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


# ---- all of them ---------------------------------------------------------------------------------

PLACES = ("main", "thread", "mmapped", "regions")


def run(suite, tool, _args):
    for where in PLACES:
        for what in ("dontdump", "none"):
            for name, dump in (("gcore", gcore), ("core", kernel_core)):
                suite.run(f"cores/{what}-{where}/{name}", missing, tool, what, where, dump)
    for name, dump in (("gcore", gcore), ("core", kernel_core)):
        suite.run(f"cores/dontdump-headers/{name}", missing_headers, tool, dump)
    suite.run("cores/unread-guards", unread_guards, tool)
    suite.run("cores/reserved-tails", reserved_tails, tool)
    suite.run("cores/filters", filters, tool)
    suite.run("cores/no-private-memory", no_private_memory, tool)
    suite.run("cores/no-note-of-files", no_note, tool)
    suite.run("cores/limited-static", limited_static, tool)
    suite.run("cores/limited-dynamic", limited_dynamic, tool)
    suite.run("cores/sparse", sparse, tool)
    suite.run("cores/static", static, tool, "-static", False)
    suite.run("cores/static-stripped", static, tool, "-static", True)
    suite.run("cores/static-pie", static, tool, "-static-pie", False)
    suite.run("cores/setuid", setuid, tool)
    suite.run("cores/thousand-threads", thousand_threads, tool)
    suite.run("cores/wrong-exe", wrong_exe, tool)
    suite.run("cores/wrong-exe-without-build-id", wrong_exe_without_build_id, tool)
