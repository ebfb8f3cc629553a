#!/usr/bin/python3
"""How fast heapwalk is, how small, and how harmless: as ratios to a plain read of the same bytes.

    bench/run.py [--build DIR] [--gib N] [--runs N] [--readme] [PART ...]

Machines differ and are noisy, so each figure is the best of some runs, yardstick and heapwalk in
turn. Prints tables and writes all figures to DIR/bench.json, times in seconds. No figure ever fails
anything: exit status 1 means that something could not be measured.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

from parts import PARTS
from subject import GIB, Failure, Subject, run
from table import table

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, "..", "README.md")
BEGIN, END = "<!-- bench/run.py --readme -->", "<!-- end -->"
SIZES = (1, 4, 8)


class Bench:
    """What the parts need to know."""

    def __init__(self, args, scratch):
        self.subject = Subject(args.build, scratch)
        self.runs = args.runs
        self.few = max(2, args.runs - 2)  # where many heaps are measured
        self.sizes = sizes(args.gib)
        self.notes = []

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable:"))


def sizes(most):
    """GiB of the heaps that are tried: those that fit, with room for all others on this machine."""
    fit = [s for s in SIZES if s <= most and 1.5 * s * GIB < available_bytes()]
    return fit or [min(most, available_bytes() / GIB / 2)]


def machine():
    kernel = re.match(r"\d+\.\d+", os.uname().release)
    return {"machine": os.uname().machine, "cpus": os.cpu_count(), "kernel": kernel.group(),
            "libc": os.confstr("CS_GNU_LIBC_VERSION")}


def measure(bench, parts):
    result = {"machine": machine(), "heapwalk": run([bench.subject.heapwalk, "--version"]).strip(),
              "runs": bench.runs, "parts": {}}
    for part in parts:
        began = time.monotonic()
        rows = part.rows(bench)
        result["parts"][part.name] = rows
        print(f"\n{part.name}: {part.title} ({time.monotonic() - began:.0f} s)\n")
        print(table(part.columns, rows), flush=True)
    result["notes"] = bench.notes
    for text in bench.notes:
        print(f"note: {text}")
    return result


def rewrite_readme(result):
    """Put the tables between the two marks."""
    with open(README, encoding="utf-8") as f:
        text = f.read()
    head, mark, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise Failure(f"README.md has no lines {BEGIN} and {END}")
    about = result["machine"]
    lines = [f"{result['heapwalk']} on {about['machine']} with {about['cpus']} CPUs, Linux "
             f"{about['kernel']}, {about['libc']}; best of some runs."]
    for part in PARTS:
        if part.name in result["parts"]:
            lines += ["", f"{part.title}:", "", table(part.columns, result["parts"][part.name])]
    with open(README, "w", encoding="utf-8") as f:
        f.write("\n".join([head + mark, *lines, end + tail]))


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n", 1)[0],
        epilog="Parts: " + "; ".join(f"{part.name}: {part.title}" for part in PARTS))
    parser.add_argument("--build", default="build", help="where the binaries are (default: build)")
    parser.add_argument("--gib", type=float, default=float(os.environ.get("BENCH_GIB") or 4),
                        help="the largest heap (default: BENCH_GIB, else 4)")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the best counts")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md, too")
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these, in any order")
    args = parser.parse_args()
    names = [part.name for part in PARTS]
    for name in args.parts:
        if name not in names:
            parser.error(f"no part '{name}': there are {', '.join(names)}")
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `with` and `finally` clean up
    scratch = tempfile.mkdtemp(prefix="bench.", dir=args.build)
    try:
        bench = Bench(args, scratch)
        result = measure(bench, [p for p in PARTS if not args.parts or p.name in args.parts])
        with open(os.path.join(args.build, "bench.json"), "w", encoding="utf-8") as f:
            json.dump(result, f, indent=2)
            f.write("\n")
        if args.readme:
            rewrite_readme(result)
    except (Failure, OSError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
