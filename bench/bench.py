#!/usr/bin/env python3
"""How fast heapwalk is, and how small: as ratios to a plain read of the same bytes.

    bench.py [--build DIR] [--count N] [--size BYTES] [--pattern NAME] [--runs N] [--json]

The subject is bench/victim.c: by default a million chunks of 1 KiB, every other of them freed. Machines
differ and are noisy, so each figure is the best of some runs, yardstick and heapwalk in turn:

    core    the whole command `heapwalk CORE` against one read of that file in blocks of 1 MiB, both
            with the file in the page cache
    live    the pause of the victim, and the whole command `heapwalk -p PID`, against one
            process_vm_readv() of the victim's resident memory in blocks of 1 MiB

A figure over its limit is marked, but never fails anything: exit status 1 means that something could
not be measured at all.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

LIMIT_CORE_SECONDS = 1.0
LIMIT_RSS_MIB = 48
MIB = 1 << 20


class Failure(Exception):
    pass


def run(command, **kwargs):
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, **kwargs)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Bench:
    def __init__(self, args, scratch):
        self.args = args
        self.scratch = scratch
        self.heapwalk = os.path.join(args.build, "heapwalk")
        self.helpers = os.path.join(args.build, "bench")

    def helper(self, name):
        return os.path.join(self.helpers, name)

    def start_victim(self):
        victim = subprocess.Popen(
            [self.helper("victim"), str(self.args.count), str(self.args.size), self.args.pattern],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if victim.stdout.readline() != "ready\n":
            victim.kill()
            victim.wait()
            raise Failure("the victim did not start")
        return victim

    def make_core(self, pid):
        run(["gcore", "-o", os.path.join(self.scratch, "core"), str(pid)],
            env={**os.environ, "DEBUGINFOD_URLS": ""})
        return os.path.join(self.scratch, f"core.{pid}")

    def plain_read(self, *what):
        """(bytes, seconds) of the yardstick."""
        count, ns = run([self.helper("plainread"), *map(str, what)]).split()
        return int(count), int(ns) / 1e9

    def walk(self, *what):
        """One run of heapwalk: what it took, and its report."""
        result = os.path.join(self.scratch, "measure")
        report = run([self.helper("measure"), result, self.heapwalk, "--json", *map(str, what)])
        with open(result, encoding="ascii") as file:
            ns, rss_kib, status = map(int, file.read().split())
        if status not in (0, 1):
            raise Failure(f"heapwalk ended with status {status}")
        method = json.loads(report)["method"]
        pause = method.get("pause_ns")
        return {
            "seconds": ns / 1e9,
            "peak_rss_bytes": rss_kib * 1024,
            "pause_seconds": None if pause is None else pause / 1e9,
            "bytes_read": method.get("bytes_read"),
            "complete": status == 0,
        }

    def compare(self, plain, walk):
        """Best of several runs of both, in turn, after one to warm the caches up."""
        self.plain_read(*plain)
        reads, walks = [], []
        for _ in range(self.args.runs):
            reads.append(self.plain_read(*plain))
            walks.append(self.walk(*walk))
        plain_bytes, plain_seconds = min(reads, key=lambda read: read[1])
        result = {"plain_bytes": plain_bytes, "plain_seconds": plain_seconds}
        for key in ("seconds", "pause_seconds"):
            known = [w[key] for w in walks if w[key] is not None]
            result[key] = min(known) if known else None
            ratio = key.replace("seconds", "ratio")
            result[ratio] = result[key] / plain_seconds if known else None
        result["peak_rss_bytes"] = max(w["peak_rss_bytes"] for w in walks)
        result["bytes_read"] = walks[-1]["bytes_read"]
        result["complete"] = all(w["complete"] for w in walks)
        return result

    def measure(self):
        victim = self.start_victim()
        try:
            core = self.make_core(victim.pid)
            return {
                "victim": {"count": self.args.count, "size": self.args.size,
                           "pattern": self.args.pattern},
                "runs": self.args.runs,
                "core": self.compare(("file", core), (core,)),
                "live": self.compare(("process", victim.pid), ("-p", victim.pid)),
                "limits": {"core_seconds": LIMIT_CORE_SECONDS,
                           "peak_rss_bytes": LIMIT_RSS_MIB * MIB},
            }
        finally:
            victim.kill()
            victim.wait()


# ---- the table ----------------------------------------------------------------------------------

def rows(result):
    """(what, figure, ratio to the yardstick, limit, within it)."""
    def seconds(value):
        return "-" if value is None else f"{value * 1000:.1f} ms"

    def ratio(value):
        return "" if value is None else f"{value:.2f} x"

    def rss(part):
        value = part["peak_rss_bytes"]
        return f"{value / MIB:.1f} MiB", "", f"< {LIMIT_RSS_MIB} MiB", value < LIMIT_RSS_MIB * MIB

    core, live = result["core"], result["live"]
    yield ("core: plain read", seconds(core["plain_seconds"]), ratio(1.0), "", None)
    yield ("core: heapwalk CORE", seconds(core["seconds"]), ratio(core["ratio"]),
           f"< {LIMIT_CORE_SECONDS:g} s", core["seconds"] < LIMIT_CORE_SECONDS)
    yield ("core: peak RSS", *rss(core))
    yield ("live: plain read", seconds(live["plain_seconds"]), ratio(1.0), "", None)
    yield ("live: pause of the victim", seconds(live["pause_seconds"]), ratio(live["pause_ratio"]),
           "", None)
    yield ("live: heapwalk -p PID", seconds(live["seconds"]), ratio(live["ratio"]), "", None)
    yield ("live: peak RSS", *rss(live))


def print_table(result):
    victim = result["victim"]
    print(f"{victim['count']} chunks of {victim['size']} bytes, {victim['pattern']}; "
          f"best of {result['runs']} runs; core {result['core']['plain_bytes'] / MIB:.0f} MiB, "
          f"live {result['live']['plain_bytes'] / MIB:.0f} MiB resident")
    print()
    form = "{:<27} {:>12} {:>9}   {:<9} {}"
    print(form.format("WHAT", "BEST", "RATIO", "LIMIT", "").rstrip())
    for what, figure, ratio, limit, within in rows(result):
        verdict = {True: "ok", False: "OVER", None: ""}[within]
        print(form.format(what, figure, ratio, limit, verdict).rstrip())
    for kind in ("core", "live"):
        if not result[kind]["complete"]:
            print(f"note: the report of the {kind} run was partial (exit status 1)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0],
                                     epilog="Peak RSS is the worst of all runs.")
    parser.add_argument("--build", default="build", help="where the binaries are (default: build)")
    parser.add_argument("--count", type=int, default=1000000, help="chunks of the victim")
    parser.add_argument("--size", type=int, default=1024, help="gross bytes of each chunk")
    parser.add_argument("--pattern", default="every-other",
                        choices=["every-other", "all-used", "all-but-last"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    args = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` clauses run
    wanted = args.count * args.size * 5 // 4
    scratch = tempfile.mkdtemp(prefix="heapwalk-bench.")
    try:
        if shutil.disk_usage(scratch).free < wanted:
            raise Failure(f"{scratch} has no room for a core of {wanted // MIB} MiB; set TMPDIR")
        result = Bench(args, scratch).measure()
    except (Failure, OSError, ValueError, KeyError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
