"""Heaps that one mistake has smashed, live and in cores: it is named where the victim says that it is,
and all that it did not hit is counted exactly."""

import chunk_checks
from cases import Case
from machine import machine_of
from modes import gcore, kernel_core, running
from report_checks import PARTS, check_schema
from suite import Skip

MISTAKES = ("grow", "shrink", "terminator", "strings", "flag", "text", "zeros", "ones", "header",
            "free-chunk", "tcache-link", "tcache-entry", "bin-link", "bin-back", "bin-row", "twice", "twice-fast",
            "not-malloced", "top-huge", "top-text", "top-small", "top-nowhere", "top-elsewhere",
            "top-inside", "ring", "ring-short", "heap-owner", "heap-size")
ONLY_CHECKED = ("bin-row",)  # nothing is counted wrongly for it, so it is looked at on demand

# What happens besides: a size word lost its flags, too, or a list still has what was lost.
BESIDES = {"flag": {"bad_chunk"}, "free-chunk": {"bad_list", "list_mismatch"},
           "top-huge": {"arena_heaps"}, "top-text": {"arena_heaps"}, "top-small": {"arena_heaps"},
           "top-inside": {"arena_heaps"}}

FOREIGN = 1 + 2 * 3  # blocks that are none of the victim's: a tcache for each thread, a dtv for each but the first


def places(report):
    return [(f["kind"], int(f["address"], 16)) for f in report["findings"]
            if f["kind"] != "note" and f["address"]]


def check_named(t, mistake, report, victim, checked):
    """The damage is named first of its kind, and nothing but what comes of it besides."""
    wanted = [(kind, int(at, 16)) for kind, at in victim.expectations("damage")]
    if checked:
        wanted += [(kind, int(at, 16)) for kind, at in victim.expectations("checked")]
    got = places(report)
    for place in wanted:
        t.check(place in got, f"{place[0]} at {place[1]:#x} is not among {shown(got)}")
    others = {kind for kind, at in got if (kind, at) not in wanted}
    t.equal("kinds of other findings", others - BESIDES.get(mistake, set()), set())


def shown(findings):
    return [f"{kind} at {at:#x}" for kind, at in findings]


def check_totals(t, report, victim):
    """What mallinfo2(3) said before is still so, but for what was lost."""
    totals, info = report["totals"], victim.mallinfo2()
    lost, lost_free = ([int(n) for n in victim.expectations("lost")[0]]
                       if victim.expectations("lost") else (0, 0))
    t.equal("system_bytes", totals["system_bytes"], info["arena"])
    t.equal("unaccounted_bytes", totals["unaccounted_bytes"], lost)
    free = sum(totals[p + "_bytes"] for p in ("fastbin", "bin", "top"))
    t.equal("free bytes", free, info["fordblks"] - lost_free)
    for row in (totals, *report["arenas"]):
        t.equal("sum of parts", sum(row[p + "_bytes"] for p in PARTS), row["system_bytes"])
    for name in ("tcache_bytes", "tcache_chunks"):
        t.equal(f"sum of {name}", sum(row[name] for row in report["threads"]), totals[name])


def check_blocks(t, out, report, victim, foreign):
    """Every live block but the one that was hit, and what else malloc gave out, which only threads did."""
    blocks, machine = victim.blocks(), machine_of(report)
    for (pointer,) in victim.expectations("hit"):
        blocks.pop(int(pointer, 16))
    chunks = chunk_checks.parse(out)
    chunk_checks.check_order(t, chunks)
    chunk_checks.check_states(t, chunks, report)
    chunk_checks.check_tcaches(t, chunks, report)
    chunk_checks.check_blocks(t, chunks, blocks, foreign, victim.expected("used_cost", machine.word),
                              victim.expected("mmapped_cost", 2 * machine.word))


def check_scenes(t, report):
    """The bytes are those of the image, and the chunk before ends there, or the place is inside of it."""
    for f in report["findings"]:
        scene = f["scene"]
        if not t.check((scene is None) == (f["kind"] == "note" or not f["address"]), f"scene of {f}"):
            continue
        if not scene or not f["address"].startswith("0x"):
            continue
        at, before = int(f["address"], 16), scene["before"]
        if f["kind"] != "list_mismatch":
            t.equal(f"bytes at {at:#x}", len(scene["bytes"] or ""), 128)
        if before:
            start = int(before["address"], 16)
            t.check(start < at <= start + before["bytes"], f"before {at:#x}: {before}")
        if f["kind"] == "bad_chunk":
            t.check(before is not None, f"nothing before {at:#x}")


def check_invariants(t, report):
    broken = {f["invariant"] for f in report["findings"]} - {None}
    said = {row["invariant"] for row in report["check"] if row["verdict"] == "broken"}
    t.equal("broken invariants", said, broken)
    t.check(broken, "nothing is broken")


def check_lost(t, tool, target, victim):
    """The block that was hit is not understood, and --whatis says that it is malloc's all the same."""
    hits, damages = victim.expectations("hit"), victim.expectations("damage")
    for i, (pointer,) in enumerate(hits):  # of one size, where there are several
        ran = tool.run("-J", "--whatis", pointer, *target)
        if t.equal(str(ran), ran.status, 1):
            answer = ran.json()
            t.equal("kind", (answer["kind"], answer["chunk"]), ("unaccounted", None))
            lost, at = answer["unaccounted"], damages[i if len(damages) == len(hits) else 0][1]
            t.equal("bytes", lost["bytes"], int(victim.expectations("lost")[0][0]) // len(hits))
            t.equal("place", (lost["address"], lost["finding"]),
                    (at, {"kind": "bad_chunk", "address": at}))
        ran = tool.run("--whatis", pointer, *target)
        t.check(b"could not be made sense of" in ran.out, str(ran))


def check_target(t, tool, mistake, target, victim, foreign):
    ran = tool.run("-J", *target)
    sound = mistake in ONLY_CHECKED
    if not t.equal(str(ran), ran.status, 0 if sound else 1):
        return
    report = ran.json()
    check_schema(t, report)
    check_named(t, mistake, report, victim, False)
    check_totals(t, report, victim)
    t.equal("check", (report["check"], {str(f["scene"]) for f in report["findings"]} - {"None"}),
            (None, set()))
    listed = tool.run("--chunks", "-f", "csv", *target)
    if t.equal(str(listed), listed.status, 0 if sound else 1):
        check_blocks(t, listed.out, report, victim, foreign)
    check_lost(t, tool, target, victim)
    ran = tool.run("-J", "--check", *target)
    if t.equal(str(ran), ran.status, 1):
        checked = ran.json()
        check_schema(t, checked)
        check_named(t, mistake, checked, victim, True)
        check_totals(t, checked, victim)
        check_scenes(t, checked)
        check_invariants(t, checked)
    ran = tool.run("--check", *target)
    t.equal(str(ran), ran.status, 1)
    t.check(b"BROKEN" in ran.out, f"text of --check: {ran.out[-2000:]}")


def live_and_core(t, tool, mistake, where):
    in_thread = where == "thread"
    case = Case(mistake, "smashed", (mistake, where) if in_thread else (mistake,))
    foreign = FOREIGN + 2 * in_thread
    with running(tool.build, case) as victim:
        if victim.expectations("skip"):
            raise Skip(f"{mistake} cannot happen with this libc")
        check_target(t, tool, mistake, ["-p", victim.pid, "--max-pause", "none"], victim, foreign)
        if not in_thread:
            check_target(t, tool, mistake, [gcore(victim)], victim, foreign)
        check_target(t, tool, mistake, [kernel_core(victim)], victim, foreign)


def sound(t, tool, case):
    """Nothing is wrong with heaps that nobody smashed."""
    with running(tool.build, case) as victim:
        check_sound(t, tool, ["-p", victim.pid, "--max-pause", "none"])
        if case is LEADERLESS:
            check_sound(t, tool, [kernel_core(victim)])


def check_sound(t, tool, target):
    ran = tool.run("-J", "--check", *target)
    if t.equal(str(ran), ran.status, 0):
        report = ran.json()
        check_schema(t, report)
        t.equal("broken", [r["invariant"] for r in report["check"] if r["broken"]], [])
        t.note(" ".join(f"{r['invariant']}:{r['examined']}" for r in report["check"]))


def usage(t, tool):
    """What cannot be asked for together."""
    for options in (["--check", "--chunks"], ["--check", "--whatis", "0x1000"],
                    ["--check", "--dry-run"], ["--check", "-f", "csv"],
                    ["--check", "-f", "malloc_info"]):
        ran = tool.run(*options, "-p", "1")
        t.equal(str(ran), ran.status, 64)


LEADERLESS = Case("leaderless", "leaderless", (), {"MALLOC_ARENA_MAX": "1"})
SOUND = [LEADERLESS, Case("mixed", "mixed"), Case("bins", "bins"), Case("fastbins", "fastbins"),
         Case("many-threads", "many-threads"), Case("blocked-brk", "blocked-brk"),
         Case("foreign-sbrk", "foreign-sbrk", (70001, "junk")), Case("fork-child", "fork-child"),
         Case("big-arenas", "big-arenas"), Case("unused", "unused", ("asked",))]


def run(suite, tool, _args):
    suite.run("damage/usage", usage, tool)
    for case in SOUND:
        suite.run(f"damage/sound/{case.name}", sound, tool, case)
    for mistake in MISTAKES:
        for where in ("main", "thread"):
            suite.run(f"damage/{mistake}/{where}", live_and_core, tool, mistake, where)
