"""--holes: the largest free runs, and which chunks pin each top. What is said is compared with a
slow model of the same heap, and with what happens when the pins are freed."""

import os

import chunk_checks
from cases import CASES, Case
from holes_model import FREE, pins_of, runs_of
from modes import gcore, good
from pagemap import Pages, frames_may_be_seen
from process import Victim, workplace
from report_checks import check_schema
from text_checks import check_text

SECRET = "do not show me"
MANY = 1000
PINS = [Case(f"pins-{kind}", "pins", (kind,)) for kind in ("main", "tcache", "thread", "moved")]
OTHERS = ("all-but-last", "all-but-first", "every-other-small", "many-threads", "big-arenas",
          "foreign-sbrk-odd-junk", "blocked-brk", "tcache-full", "mixed", "fastbins", "bins",
          "regions-split", "split-top", "mmapped-dynamic", "unused-asked")


def start(tool, directory, case, **kwargs):
    return Victim(tool.build, directory, case.victim, case.args, case.env, **kwargs)


def is_pin(t, what, got, want):
    """A chunk of the report is that of the listing."""
    if want is None:
        t.equal(what, got, None)
    elif t.check(got is not None, f"{what}: nothing, want {want.address:#x}"):
        t.equal(what, (int(got["address"], 16), got["bytes"], got["state"], got["tid"]),
                (want.address, want.bytes, want.state, want.tid))


def check_holes(t, report, chunks, pages):
    """All of them and in order."""
    def resident(run):
        return pages.resident(run.address, run.size) if pages else 0

    runs = sorted(runs_of(chunks), key=lambda run: (-resident(run), -run.size, run.address))
    t.equal("holes", len(report["holes"]), min(MANY, len(runs)))
    for i, (got, want) in enumerate(zip(report["holes"], runs)):
        what = f"hole {i}"
        t.equal(what, (int(got["address"], 16), got["bytes"], got["arena"], got["chunks"],
                       got["has_top"], got["resident_bytes"]),
                (want.address, want.size, want.arena, want.chunks, want.has_top,
                 resident(want) if pages else None))
        is_pin(t, f"{what}: below", got["below"], want.below)
        is_pin(t, f"{what}: above", got["above"], want.above)
    if report["totals"]["trim_bytes"] is not None and len(runs) <= MANY:
        t.equal("trim_bytes of all holes", sum(h["trim_bytes"] for h in report["holes"]),
                report["totals"]["trim_bytes"])


def check_pins(t, report, chunks, pages):
    for arena in report["arenas"]:
        what, got = f"arena {arena['index']}: pins", arena["top_pins"]
        first = int(got["first"][0]["address"], 16) if got["first"] else None
        want = pins_of(report, arena, chunks, first)
        pins = [c for s in want for c in s.pins]
        used = [c for c in pins if c.state == "in use"]
        joins = sum(s.free for s in want)
        t.equal(what, (got["chunks"], got["bytes"], got["tcache_chunks"], got["joins_bytes"]),
                (len(used), sum(c.bytes for c in used), len(pins) - len(used), joins))
        t.equal(f"{what} listed", len(got["first"]), min(16, len(pins)))
        for g, w in zip(got["first"], pins):
            is_pin(t, what, g, w)
        if want and pages:
            own = [c for c in chunks if c.arena == arena["index"]]
            last = next(i for i, c in enumerate(own) if c is pins[-1])
            first = next(i for i, c in enumerate(own) if c.address == want[0].start)
            t.equal(f"{what}: in RAM", got["joins_resident_bytes"],
                    sum(pages.resident(c.address, c.bytes) for c in own[first:last]
                        if c.state in FREE))


def look(t, tool, target, *options):
    ran = tool.run("-J", "--holes", MANY, *options, *target)
    if not good(t, ran):
        return None
    check_schema(t, ran.json())
    return ran.json()


def check_target(t, tool, target, pid=None):
    chunks = chunk_checks.parse(tool.run("--chunks", "-f", "csv", *target).out)
    report = look(t, tool, target)
    pages = None
    if pid and frames_may_be_seen():
        pages = Pages(pid, [(c.address, c.bytes) for c in chunks if c.arena is not None])
    if report and (pages or not pid):
        check_holes(t, report, chunks, pages)
        check_pins(t, report, chunks, pages)
    ran = tool.run("--holes", 20, *target)
    if good(t, ran):
        check_text(t, ran.out)
    return report


def live_and_core(t, tool, case):
    with workplace() as directory, start(tool, directory, case) as victim:
        live = check_target(t, tool, ["-p", victim.pid], victim.pid)
        core = check_target(t, tool, [gcore(victim)])
        for report in (live, core):
            if report:
                check_named(t, report, victim)


def check_named(t, report, victim):
    """The pins are those that the victim names, and so are their symbols."""
    named = [(int(p, 16), None if s == "-" else s.replace("_for_", " for ").replace(":", ": "))
             for p, s in victim.expectations("pin")]
    pins = next((a["top_pins"] for a in report["arenas"] if a["top_pins"]["chunks"]), None)
    if pins is None or not named:
        return
    first = [p for p in pins["first"] if p["state"] == "in use"]
    t.equal("pins", [(int(p["pointer"], 16), p["symbol"]) for p in first], named)
    t.equal("in tcaches", pins["tcache_chunks"], victim.expected("cached", 0))
    t.check(pins["joins_bytes"] >= victim.expected("holds", 0), f"joins {pins['joins_bytes']}")


def without_them(t, tool, case, joins):
    """The proof: the victim frees what was said to hold memory back, and glibc gives it back."""
    with workplace() as directory, start(tool, directory, case, obeys=True) as victim:
        index = 1 if "thread" in case.args else 0
        before = look(t, tool, ["-p", victim.pid])
        rss_before, rss_after = (kib << 10 for kib in victim.order("f"))
        after = look(t, tool, ["-p", victim.pid])
        if not before or not after:
            return
        pins = before["arenas"][index]["top_pins"]
        gone = before["arenas"][index]["system_bytes"] - after["arenas"][index]["system_bytes"]
        threshold = before["params"]["trim_threshold"]
        if joins:
            t.check(gone >= pins["joins_bytes"] - threshold,
                    f"{pins['joins_bytes']} bytes were to join top, but {gone} went")
            t.check(rss_before - rss_after >= pins["joins_resident_bytes"] - threshold - (1 << 20),
                    f"RSS went from {rss_before} to {rss_after}")
            t.equal("pins afterwards", after["arenas"][index]["top_pins"]["chunks"], 0)
        else:
            t.equal("pins", (pins["chunks"], pins["joins_bytes"]), (0, 0))
            t.equal("what went", gone, 0)


def privacy(t, tool):
    """Bytes of the program are shown only to who asks for them, and no more than that."""
    with workplace() as directory, start(tool, directory, PINS[0]) as victim:
        pointer = int(victim.expectations("pin")[0][0], 16)
        with open(f"/proc/{victim.pid}/mem", "rb") as mem:
            mem.seek(pointer)
            wanted = mem.read(64)
        word = int.from_bytes(wanted[:8], "little")
        for options in ((), ("-J",)):
            out = tool.run("--holes", 5, *options, "-p", victim.pid).out.decode()
            for private in (SECRET, SECRET.encode().hex(), f"{word:x}", wanted[:8].hex()):
                t.check(private not in out, f"{private!r} in the report {options}")
        for size in (1, 7, 8, 9, 16, 33, 64):
            report = look(t, tool, ["-p", victim.pid], f"--sample={size}")
            pins = report["arenas"][0]["top_pins"]["first"]
            t.equal(f"{size} bytes", pins[0]["sample"], wanted[:size].hex())
        out = tool.run("--holes", 5, "--sample=64", "-p", victim.pid).out
        t.check(b"do not s|\n" in out and b"|how me" in out, f"no {SECRET!r} in {out}")
        check_text(t, out)


def one_arena(t, tool):
    with workplace() as directory, start(tool, directory, PINS[2]) as victim:
        for index in (0, 1):
            report = look(t, tool, ["-p", victim.pid], "--arena", index)
            t.equal("arenas of holes", {h["arena"] for h in report["holes"]}, {index})
        ran = tool.run("--holes", 1, "--arena", 7, "-p", victim.pid)
        t.equal(str(ran), ran.status, 64)


def by_default(t, tool):
    """No holes, one sentence about pins, nothing read of what chunks hold."""
    with workplace() as directory, start(tool, directory, PINS[0]) as victim:
        report = tool.run("-J", "-p", victim.pid).json()
        t.equal("holes", report["holes"], None)
        pins = report["arenas"][0]["top_pins"]
        t.equal("pins", pins["chunks"], 2)
        t.equal("symbols", [p["symbol"] for p in pins["first"]], [None, None])
        out = tool.run("-p", victim.pid).out.decode()
        words = " ".join(out.split())
        t.equal("sentences", words.count("from joining top") +
                words.count("from being given back by free() itself"), 1)


def harmless(t, tool):
    """Looking at pins does not map pages that the victim never touched."""
    with workplace() as directory, start(tool, directory, PINS[2]) as victim:
        reports = [look(t, tool, ["-p", victim.pid], "--sample=64") for _ in range(2)]
        t.equal("a second look", reports[0]["totals"], reports[1]["totals"])
        t.equal("a second look at holes", reports[0]["holes"], reports[1]["holes"])


def usage(t, tool):
    pid = os.getpid()
    for args in (("--holes", 0), ("--holes", 1001), ("--holes", "x"), ("--holes", 5, "--chunks"),
                 ("--holes", 5, "--whatis", "10"), ("--holes", 5, "-f", "csv"),
                 ("--holes", 5, "-f", "malloc_info"), ("--sample",), ("--sample=8",),
                 ("--holes", 5, "--sample=0"), ("--holes", 5, "--sample=65")):
        ran = tool.run(*args, "-p", pid)
        t.equal(str(ran), ran.status, 64)


def run(suite, tool, args):
    del args
    others = [case for case in CASES if case.name in OTHERS]
    for case in PINS + others:
        suite.run(f"holes/{case.name}", live_and_core, tool, case)
    for case in PINS:
        if case.args != ("tcache",):
            suite.run(f"holes/freed/{case.name}", without_them, tool, case, case.args != ("moved",))
    for function in (privacy, one_arena, by_default, harmless, usage):
        suite.run(f"holes/{function.__name__}", function, tool)
