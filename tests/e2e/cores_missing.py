"""Cores that lack parts, or the end: what is missing is named by arena, place and size, and what is
not missing is exact."""

import os
import random
import resource
import shutil

import chunk_checks
from badinput import check_refused
from cases import Case
from cores import MIXED, check_note, compiled, load, problems
from damage import check_adds_up
from elfcore import PT_LOAD, headers
from modes import check_core, check_same_text, gcore, good, kernel_core, running
from process import thread_states, workplace
from programs import library
from report_checks import check_mallinfo2, check_schema, check_threads
from suite import Skip

PAGE = 4096

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


MISSING_KINDS = {"missing", "unreadable", "truncated_core", "thread_cache"}


def check_not_broken(t, tool, core, in_part=()):
    """What is missing must never look like what was smashed. Returns the report of --check."""
    ran = tool.run("--check", "-J", core)
    if not t.check(ran.status in (0, 1), str(ran)):
        return None
    report = ran.json()
    check_schema(t, report)
    verdicts = {c["invariant"]: c["verdict"] for c in report["check"]}
    t.equal("broken", [i for i, verdict in verdicts.items() if verdict == "broken"], [])
    t.equal("alarms", [f["text"] for f in report["findings"] if f["invariant"]], [])
    t.equal("kinds", {f["kind"] for f in problems(report)} - MISSING_KINDS, set())
    for i in in_part:
        t.equal(i, verdicts[i], "in_part")
    t.equal("complete", report["complete"], ran.status == 0)
    t.check(ran.status == 1 or "in_part" not in verdicts.values(), f"complete, but {verdicts}")
    check_adds_up(t, "checked", report)
    return report


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
        checked = check_not_broken(t, tool, core)
        if checked:  # all headers and links are there
            t.equal("in part", [c["invariant"] for c in checked["check"]
                                if c["verdict"] == "in_part"], [])
        t.note(f"{len(want)} findings" if want else "all is saved")


CHUNKS = ("chunks", "free_chunks", "bin_sets")


def missing_arenas(t, tool, dump, *flags):
    """Parts of several arenas are missing: of some the arena itself, of one a heap_info."""
    with workplace() as place:
        build = compiled(place, "missing", *flags) if flags else tool.build
        with running(build, Case("missing", "missing", ("dontdump", "arenas"))) as victim:
            live = tool.run("--check", "-J", "-p", victim.pid)
            t.equal(f"in the process: {live}", live.status, 0)
            core = dump(victim)
            report = check_not_broken(t, tool, core, (*CHUNKS, "bins", "arena_ring", "thread_heaps"))
            if not report:
                return
            lost = [f for f in problems(report) if f["kind"] == "missing"]
            parts = {int(a, 16) for a, _ in victim.expectations("missing")}
            arenas = {a["address"]: a for a in report["arenas"]}
            gone = {int(a["address"], 16) for a in live.json()["arenas"]
                    if a["address"] not in arenas}
            t.equal("arenas that are missing", {a // PAGE * PAGE for a in gone} - parts, set())
            t.check(gone, "all arenas are there")
            named = {int(f["address"], 16) for f in lost}
            t.equal("arenas that are named", gone - named, set())
            for a in arenas.values():
                t.check(any(f["arena"] == a["index"] for f in lost),
                        f"nothing is missing of arena {a['index']}")
            t.note(f"{len(arenas)} arenas, {len(gone)} are missing")


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
        check_not_broken(t, tool, core, CHUNKS)
        text = tool.run("--check", core)
        t.equal(str(text), text.status, 1)
        t.check(b"in part" in text.out and b"BROKEN" not in text.out, str(text.out[-2000:]))


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
    """`ulimit -c`: a static program's own data come first, so its arenas are known; what of them
    was cut off is told for each."""
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
        check_not_broken(t, tool, core)
        [cut] = [f for f in problems(report) if f["kind"] == "truncated_core"]
        end = max(h.offset + h.saved for h in headers(data, PT_LOAD))
        t.equal("bytes cut off", cut["bytes"], end - len(data))
        t.check(not any(UNHARMED in f["text"] for f in report["findings"]), "says that nothing of the heap is lost")


UNHARMED = "nothing of the heap was lost"


def cut_behind(t, tool):
    """What is cut off is the end of a stack: all of the heap is there, and that is said."""
    with running(tool.build, MIXED) as victim:
        core = kernel_core(victim)
        whole = tool.run("-J", core).json()
        os.truncate(core, max(h.offset + h.saved for h in headers(load(core), PT_LOAD)) - 2 * PAGE)
        ran = tool.run("-J", core)
        if not t.equal(str(ran), ran.status, 1):
            return
        report = ran.json()
        t.equal("findings", [f["kind"] for f in problems(report)], ["truncated_core"])
        t.check(any(UNHARMED in f["text"] for f in report["findings"]), f"{report['findings']}")
        t.equal("totals", report["totals"], whole["totals"])


def cut_behind_other(t, tool):
    """Nobody knows what an allocator that is not glibc's has lost."""
    preload = {"LD_PRELOAD": library("libjemalloc.so.2", "libjemalloc2")}
    with running(tool.build, Case("unused", "steps", ("hold:9000:1024",), preload)) as victim:
        core = kernel_core(victim)
        os.truncate(core, max(h.offset + h.saved for h in headers(load(core), PT_LOAD)) - 2 * PAGE)
        report = tool.run("-J", core).json()
        t.equal("findings", [f["kind"] for f in problems(report)], ["truncated_core"])
        t.check(not any(UNHARMED in f["text"] for f in report["findings"]), f"{report['findings']}")


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
    gone = [f for f in problems(report) if f["kind"] == "missing" and f["arena"] is None]
    for f in gone:  # an arena of which there is nothing; it is not known where the ring goes on
        a = others.get(f["address"])
        if t.check(a, f"there is no arena at {f['address']}"):
            t.equal(f"arena at {f['address']}", f["bytes"], sum(h["bytes"] for h in a["heaps"]))
    report = {**report, "findings": [f for f in report["findings"] if f not in gone]}
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
        check_refused(t, tool.run(core), words=["truncated", f"ends after {size} of", "ulimit -c",
                                              "in libc's data"])


def cut_anywhere(t, tool):
    """Wherever a core ends, be it in the middle of a chunk: what is not there is missing, no more."""
    with workplace() as place:
        build = compiled(place, "many-threads", "-static")
        with running(build, THREADS) as victim:
            core, rng = kernel_core(victim), random.Random(1)
            [arena, *_] = tool.run("-J", core).json()["arenas"]
            data = load(core)
            main = int(arena["address"], 16)
            [segment] = [h for h in headers(data, PT_LOAD) if h.address <= main < h.address + h.saved]
            for end in sorted(ends_in(core, segment.offset + segment.saved, rng), reverse=True):
                os.truncate(core, end)
                report = check_not_broken(t, tool, core)
                t.check(report and not report["complete"], f"cut at {end}: {report and 'complete'}")
                if t.failures:
                    t.note(f"cut at {end}")
                    return


CUTS = 24


def ends_in(path, first, rng):
    """Places in the data behind `first`; most of a core is a hole."""
    pieces, at, size = [], first, os.path.getsize(path)
    with open(path, "rb") as f:
        while True:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:  # there is none behind
                break
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            pieces.append((at, end))
            at = end
    return {min(rng.randrange(a, b), size - 1) for a, b in
            rng.choices(pieces, [b - a for a, b in pieces], k=CUTS)}


# ---- all of them ---------------------------------------------------------------------------------

PLACES = ("main", "thread", "mmapped", "regions")


def run(suite, tool, _args):
    for where in PLACES:
        for what in ("dontdump", "none"):
            for name, dump in (("gcore", gcore), ("core", kernel_core)):
                suite.run(f"cores/{what}-{where}/{name}", missing, tool, what, where, dump)
    for name, dump in (("gcore", gcore), ("core", kernel_core)):
        suite.run(f"cores/dontdump-headers/{name}", missing_headers, tool, dump)
        suite.run(f"cores/dontdump-arenas/{name}", missing_arenas, tool, dump)
    suite.run("cores/dontdump-arenas/static", missing_arenas, tool, kernel_core, "-static")
    suite.run("cores/unread-guards", unread_guards, tool)
    suite.run("cores/reserved-tails", reserved_tails, tool)
    suite.run("cores/limited-static", limited_static, tool)
    suite.run("cores/limited-dynamic", limited_dynamic, tool)
    suite.run("cores/cut-behind", cut_behind, tool)
    suite.run("cores/cut-behind-other", cut_behind_other, tool)
    suite.run("cores/cut-anywhere", cut_anywhere, tool)
