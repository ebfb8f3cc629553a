"""The verdict: for every rule a program that fires it, and one that nearly does.

Most programs are lists of steps (tests/victims/steps.c); sizes of blocks are what malloc() is asked
for. The rules that are expected are all that fire, in their order.
"""

import os
import re
import subprocess
from dataclasses import dataclass, field

from cases import tunables
from modes import kernel_core, why_no_kernel_core
from process import Victim, workplace
from programs import Program, compiled, library
from report_checks import check_schema
from suite import Skip
from swap import swap_file
from text_checks import check_text

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MIB = 1 << 20


@dataclass(frozen=True)
class Steps:
    name: str
    steps: str
    rules: str
    env: dict = field(default_factory=dict)
    victim: str = "steps"


ARENAS = {"MALLOC_ARENA_MAX": "100"}
BIG_TCACHE = tunables("tcache_count=20000")
FIXED = {"MALLOC_MMAP_THRESHOLD_": "131072"}

# Pairs: what fires a rule, and what nearly does.
CASES = [
    # Kept by a live chunk at the end: 31% of RSS, and 29%.
    Steps("retention", "hold:65000:1024 fill:31500:1024 hold:1:1024 free:0",
          "retention trim_now main_arena top_pinned"),
    Steps("retention-nearly", "hold:68000:1024 fill:28000:1024 hold:1:1024 free:0",
          "some_retention trim_now main_arena top_pinned"),
    # 10.5% of RSS, and 9%.
    Steps("some_retention", "hold:85000:1024 fill:10400:1024 hold:1:1024 free:0",
          "some_retention trim_now main_arena top_pinned"),
    Steps("some_retention-nearly", "hold:85000:1024 fill:8700:1024 hold:1:1024 free:0",
          "live_data"),
    # Half of RSS in use, and less; the rest is not malloc's.
    Steps("live_data", "hold:30000:1024 map:25000000", "live_data"),
    Steps("live_data-nearly", "hold:25000:1024 map:30000000", "healthy"),
    Steps("healthy", "hold:1000:1024", "healthy"),
    # A retention of nearly all RSS, but of less than 8 MiB.
    Steps("healthy-nearly", "fill:7900:1024 hold:1:1024 free:0", "healthy"),
    Steps("healthy-not", "fill:8200:1024 hold:1:1024 free:0",
          "retention trim_now main_arena top_pinned"),
    Steps("unused", "unasked", "unused", victim="unused"),
    Steps("unused-nearly", "hold:1:1", "healthy"),
    # 9% of RSS, and 11%.
    Steps("not_malloc", "map:62000000 hold:6000:1024", "not_malloc"),
    Steps("not_malloc-nearly", "map:62000000 hold:7800:1024", "healthy"),
    # Holes that have a whole page now and then: 11% of RSS, and 8%; both less than half of them.
    Steps("trim_now", "fill:48000:2500 free:3", "retention trim_now pinned main_arena"),
    Steps("trim_now-nearly", "fill:50000:2350 free:3", "retention pinned main_arena"),
    Steps("pinned", "fill:80000:1000 free:4", "retention pinned main_arena"),
    # Pages of which a third of the free bytes are shared.
    Steps("pinned-nearly", "fill:8000:20000 free:2", "retention trim_now main_arena"),
    Steps("locked", "fill:40000:1024 hold:1:1024 free:0 lock",
          "retention locked main_arena top_pinned"),
    Steps("locked-nearly", "fill:40000:1024 hold:1:1024 free:0 lock:38000000",
          "retention trim_now main_arena top_pinned"),
    # Blocks of 1 MiB after the threshold has grown beyond that, or not quite.
    Steps("mmap_threshold", "fill:1:1500000 free:0 fill:60:1048576 free:2",
          "retention trim_now mmap_threshold main_arena"),
    Steps("mmap_threshold-nearly", "fill:1:1000000 free:0 fill:60:950000 free:2",
          "retention trim_now main_arena"),
    Steps("mmap_threshold-fixed", "fill:1:1500000 free:0 fill:60:1048576 free:2", "live_data",
          FIXED),
    # A top that is smaller than the threshold, which has grown to 32 MiB; and one that is larger.
    Steps("trim_threshold", "fill:1:16000000 free:0 fill:28000:1024 free:0",
          "retention trim_now trim_threshold main_arena"),
    Steps("trim_threshold-nearly", "fill:1:16000000 free:0 fill:33000:1024 free:0", "healthy"),
    Steps("tcache", "hold:70000:1024 fill:9000:1024 free:0", "some_retention main_arena tcache",
          BIG_TCACHE),
    Steps("tcache-nearly", "hold:70000:1024 fill:7900:1024 free:0", "live_data", BIG_TCACHE),
    # Half of what the thread arenas hold is in 4 of 7 arenas, or in 3 of 6.
    Steps("arena_cap", "threads:7 fill:6000:1024 hold:1:1024 free:0",
          "retention trim_now arena_cap top_pinned", ARENAS),
    Steps("arena_cap-nearly", "threads:6 fill:6000:1024 hold:1:1024 free:0",
          "retention trim_now few_arenas top_pinned", ARENAS),
    # More than half of the arenas' memory is in use.
    Steps("arena_cap-used", "threads:8 hold:4500:1024 fill:4000:1024 hold:1:1024 free:0",
          "retention trim_now top_pinned", ARENAS),
    Steps("main_arena", "fill:33000:1024 hold:1:1024 free:0 threads:8 fill:4000:1024 hold:1:1024 "
          "free:0", "retention trim_now main_arena top_pinned", ARENAS),
    Steps("main_arena-nearly", "fill:31000:1024 hold:1:1024 free:0 threads:8 fill:4000:1024 "
          "hold:1:1024 free:0", "retention trim_now arena_cap top_pinned", ARENAS),
    Steps("few_arenas", "threads:1 fill:40000:1024 hold:1:1024 free:0 main threads:8 "
          "fill:4000:1024 hold:1:1024 free:0", "retention trim_now few_arenas top_pinned", ARENAS),
    Steps("few_arenas-nearly", "threads:1 fill:10000:1024 hold:1:1024 free:0 main threads:8 "
          "fill:5000:1024 hold:1:1024 free:0", "retention trim_now arena_cap top_pinned", ARENAS),
    Steps("top_pinned", "fill:40000:1024 hold:16:1024 free:0",
          "retention trim_now main_arena top_pinned"),
    Steps("top_pinned-nearly", "fill:40000:1024 hold:17:1024 free:0",
          "retention trim_now main_arena"),
    # Given back already, against never given.
    Steps("returned", "fill:40000:1024 hold:1:1024 free:0 trim", "returned"),
    Steps("returned-nearly", "hold:1:1024 fill:20000:1024 hold:1:1024 free:0 trim "
          "fill:11000:1024 free:0", "retention trim_now main_arena top_pinned"),
]

# What the README shows.
EXAMPLES = [
    Steps("all-but-last", "fill:999999:1024 hold:1:1024 free:0",
          "retention trim_now main_arena top_pinned"),
    Steps("all-but-first", "hold:1:1024 fill:999999:1024 free:0", "healthy"),
    Steps("buffers-of-1-mb", "fill:999:1048576 hold:1:1048576 free:0", "healthy"),
    Steps("one-in-each-arena", "threads:64 fill:4000:1024 hold:1:1024 free:0",
          "retention trim_now arena_cap", {"MALLOC_ARENA_MAX": "65"}),
]

# Said without knowing where the pages are.
CORES = [
    Steps("free_in_books", "hold:85000:1024 fill:10600:1024 hold:1:1024 free:0",
          "free_in_books main_arena top_pinned"),
    Steps("free_in_books-nearly", "hold:85000:1024 fill:9000:1024 hold:1:1024 free:0",
          "live_data"),
    Steps("arena_cap", "threads:7 fill:6000:1024 hold:1:1024 free:0",
          "free_in_books arena_cap top_pinned", ARENAS),
    Steps("unused", "unasked", "unused", victim="unused"),
]


def rules_of(report):
    return " ".join(v["rule"] for v in report["verdict"])


def check_verdict(t, report, rules):
    """What is said, that it is plain, and that nothing dangerous is proposed."""
    check_schema(t, report)
    said = [f"{v['rule']}: {v['text']} {v['evidence']}" for v in report["verdict"]]
    t.check(rules_of(report) == rules, f"want {rules}, got " + "\n".join(said))
    for v in report["verdict"]:
        t.check(v["text"].endswith("."), v["text"])
        t.check("gdb" not in (v["command"] or ""), v["command"])
        t.check(v["evidence"], f"{v['rule']} proves nothing")


def check_in_text(t, ran, report):
    check_text(t, ran.out)
    words = " ".join(ran.out.decode().split())
    for v in report["verdict"] if not report["allocator"]["unused"] else []:
        for part in (v["text"], v["command"], v["cost"]):
            t.check(part is None or part in words, f"not in the text: {part}")


def check_live(t, tool, case):
    with workplace() as place, Victim(tool.build, place, case.victim, case.steps.split(),
                                      case.env) as victim:
        ran = tool.run("-J", "-p", victim.pid)
        if not t.equal(str(ran), ran.status, 0):
            return
        report = ran.json()
        check_verdict(t, report, case.rules)
        if "-" not in case.name:
            check_in_text(t, tool.run("-p", victim.pid), report)
        for name, value in case.env.items():
            check_environment(t, report, name, value)


def check_environment(t, report, name, value):
    want = [tuple(v.split("=")) for v in value.split(":")] if "TUN" in name else [(name, value)]
    got = [(s["name"], s["value"]) for s in report["limits"]["environment"]]
    t.check(all(w in got for w in want), f"environment {got}, want {want}")


def check_core(t, tool, case):
    if why := why_no_kernel_core():
        raise Skip(why)
    with workplace() as place, Victim(tool.build, place, case.victim, case.steps.split(),
                                      case.env) as victim:
        ran = tool.run("-J", kernel_core(victim))
        if not t.equal(str(ran), ran.status, 0):
            return
        report = ran.json()
        check_verdict(t, report, case.rules)
        if case.rules.startswith("free_in_books"):
            t.check("a core does not tell" in report["verdict"][0]["text"], "honesty")
        limits = report["limits"]
        for name in ("cores", "cgroup_cpus", "environment"):
            t.equal(f"limits.{name}", limits[name], None)
        t.equal("limits.arenas", limits["arenas"], int(case.env.get("MALLOC_ARENA_MAX", 0)) or None)


def other_allocator(t, tool, mapped, rules):
    """jemalloc, linked into the program beside malloc; most memory is in mappings."""
    with workplace() as place:
        path = compiled(place, "holder", "-DPRIVATE", f"-DMAPPED={mapped}")
        with Program(place, [path]) as program:
            report = tool.run("-J", "-p", program.pid).json()
            check_verdict(t, report, rules)
            if rules == "other_allocator":
                t.check("jemalloc" in report["verdict"][0]["text"], report["verdict"][0]["text"])


def real_jemalloc(t, tool):
    path = library("libjemalloc.so.2", "libjemalloc2")
    with workplace() as place, Victim(tool.build, place, "steps", ["hold:9000:1024"],
                                      {"LD_PRELOAD": path}) as victim:
        report = tool.run("-J", "-p", victim.pid).json()
        check_verdict(t, report, "unused")
        t.check("jemalloc" in report["verdict"][0]["text"], report["verdict"][0]["text"])


def swapped(t, tool, steps, rules):
    with swap_file(64 << 20):
        check_live(t, tool, Steps("", steps, rules))


def trim_is_as_predicted(t, tool):
    """What the verdict promised is what RSS loses."""
    steps = "fill:30000:1024 hold:1:1024 free:0 fill:3000:13000 free:2".split()
    promised, rss = None, []
    for extra in ([], ["trim"]):
        with workplace() as place, Victim(tool.build, place, "steps", steps + extra) as victim:
            report = tool.run("-J", "-p", victim.pid).json()
            rss.append(report["rss"]["glibc_heap_bytes"])
            trims = [v for v in report["verdict"] if v["rule"] == "trim_now"]
            if not extra and t.check(trims, "no trim_now"):
                promised = trims[0]["evidence"]["trim_resident_bytes"]
    t.equal("given back", rss[0] - rss[1], promised)


def costs(t, tool):
    """Headers and rounding of so many blocks: a word each, at most 15 bytes each."""
    with workplace() as place, Victim(tool.build, place, "steps",
                                      ["hold:1000:40000", "hold:10:300000"]) as victim:
        histogram = tool.run("-J", "-p", victim.pid).json()["in_use_histogram"]
        rows = {row["from"]: row for row in histogram}
        got = [rows[32768][n] for n in ("chunks", "header_bytes", "rounding_max_bytes")]
        t.equal("chunks of 40,000 bytes", got, [1000, 8000, 15000])
        row = rows[262144]
        t.equal("mapped", [row["chunks"], row["rounding_max_bytes"]], [10, 40950])
        t.check(row["header_bytes"] in (160, 240), f"headers of mapped chunks {row}")


def limits(t, tool):
    """As glibc itself counts."""
    with workplace() as place, Victim(tool.build, place, "steps",
                                      "threads:3 hold:1:100".split()) as victim:
        got = tool.run("-J", "-p", victim.pid).json()["limits"]
        cores = int(subprocess.run(["getconf", "_NPROCESSORS_ONLN"], capture_output=True,
                                   check=True).stdout)
        t.equal("cores", got["cores"], cores)
        t.equal("arenas", got["arenas"], max(8 * cores, 9))
        t.equal("idle arenas", got["idle_arenas"], 0)
        t.equal("threads per arena", got["most_threads_per_arena"], 1)


def table_of_thresholds():
    path = os.path.join(ROOT, "src", "analysis", "verdict_thresholds.def")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return re.findall(r'^HW_THRESHOLD\((\w+), ([^,]+), "([^"]*)",', text, re.M)


def documented(t):
    """docs/VERDICTS.md has every rule and every number, and no others."""
    with open(os.path.join(ROOT, "docs", "VERDICTS.md"), encoding="utf-8") as f:
        text = f.read()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]*?) \|", text, re.M))
    want = {}
    for name, value, unit in table_of_thresholds():
        number = eval(value)  # pylint: disable=eval-used  # "8 << 20", from our own source
        want[name] = f"{number >> 20} MiB" if unit == "bytes" and number >= MIB else (
            f"{number >> 10} KiB" if unit == "bytes" else f"{number} {unit}".strip())
    t.equal("thresholds", rows, want)
    with open(os.path.join(ROOT, "src", "analysis", "verdict.c"), encoding="utf-8") as f:
        rules = re.findall(r'^    \{"(\w+)", (?:CAVEAT|ANSWER|HINT|ALL_WELL)', f.read(), re.M)
    t.equal("rules", re.findall(r"^\| `([a-z_]+)` \|", text, re.M), rules)
    cases = {rule for case in CASES + CORES for rule in case.rules.split()}
    # "incomplete" is looked for in every report (report_checks.py), damaged heaps among them.
    untested = set(rules) - cases - {"other_allocator", "swapped", "incomplete"}
    t.equal("rules without a victim", untested, set())


def run(suite, tool, _args):
    for case in CASES + EXAMPLES:
        suite.run(f"verdict/{case.name}", check_live, tool, case)
    for case in CORES:
        suite.run(f"verdict/core/{case.name}", check_core, tool, case)
    suite.run("verdict/other_allocator", other_allocator, tool, 64 * MIB, "other_allocator")
    suite.run("verdict/other_allocator-nearly", other_allocator, tool, 56 * MIB, "healthy")
    suite.run("verdict/jemalloc", real_jemalloc, tool)
    suite.run("verdict/swapped", swapped, tool, "fill:40000:1024 hold:9000:1024 free:0 pageout",
              "swapped")
    suite.run("verdict/trim-as-predicted", trim_is_as_predicted, tool)
    suite.run("verdict/costs", costs, tool)
    suite.run("verdict/limits", limits, tool)
    suite.run("verdict/documented", documented)
