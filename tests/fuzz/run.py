#!/usr/bin/python3
"""Runs the fuzzers that `make fuzzers` has built.

    tests/fuzz/run.py --build build/fuzzing --seconds 60 [NAME ...]

What they learn is kept in BUILD/work/NAME and used the next time; what breaks heapwalk lies in
BUILD/found/NAME. Such a file belongs into tests/fuzz/fixtures/NAME together with the mend; to see what
it does: BUILD/fuzz/NAME FILE, or `build/fuzz/replay NAME FILE` in a debugger.

--merge DIRECTORY writes the fewest inputs that reach all code reached so far to DIRECTORY/NAME, if they are
not larger than --most bytes each. The last line is "N passed, N failed".
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("core", "walk", "roots", "debug", "unpack", "report")
KNOWN = (os.path.join(HERE, "corpus"), os.path.join(HERE, "fixtures"))

# One input takes less than a millisecond to a tenth of a second, on a processor of its own. None may ask
# for memory by what it says itself.
LIMITS = ["-timeout=60", "-rss_limit_mb=2048", "-malloc_limit_mb=300"]
# A program spends half its time on pages that were freed if all of them are kept.
ASAN = "quarantine_size_mb=8:malloc_context_size=8:detect_leaks=1"
LONGEST = 65536  # bytes of an input
# To remember which values were compared helps where magic numbers stand, and takes half the speed.
OPTIONS = {"core": ["-use_value_profile=1"], "debug": ["-use_value_profile=1"]}


class Fuzzer:
    def __init__(self, name, args):
        self.name, self.args = name, args
        self.program = os.path.join(os.path.abspath(args.build), "fuzz", name)
        self.work = os.path.join(args.build, "work", name)
        self.found = os.path.join(args.build, "found", name)
        self.env = {**os.environ, "ASAN_OPTIONS": ASAN, "UBSAN_OPTIONS": "print_stacktrace=1"}

    def command(self, *options):
        return [self.program, *LIMITS, f"-max_len={LONGEST}", f"-artifact_prefix={self.found}/",
                *options]

    def corpora(self):
        every = [os.path.join(place, self.name) for place in KNOWN]
        return [self.work, *[place for place in every if os.path.isdir(place)]]

    def run(self):
        """(whether nothing was found, lines to print)"""
        for place in (self.work, self.found):
            os.makedirs(place, exist_ok=True)
        done = subprocess.run(
            self.command(f"-max_total_time={self.args.seconds}", "-print_final_stats=1",
                         *OPTIONS.get(self.name, []), *self.corpora()),
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, check=False, errors="replace")
        figures = dict(re.findall(r"stat::(\w+):\s*(\d+)", done.stderr))
        reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
        line = (f"{self.name}: {figures.get('number_of_executed_units', '?')} executions, "
                f"{figures.get('average_exec_per_sec', '?')} per second, "
                f"{figures.get('peak_rss_mb', '?')} MiB")
        if reached:
            line += f"; {reached[-1][0]} edges, {reached[-1][2]} inputs in the corpus"
        if done.returncode == 0:
            return True, ["ok   " + line]
        return False, ["FAIL " + line, *done.stderr.splitlines()[-self.args.lines:]]

    def merge(self):
        fresh = os.path.join(self.args.build, "merged", self.name)
        shutil.rmtree(fresh, ignore_errors=True)
        for place in (fresh, self.found):
            os.makedirs(place, exist_ok=True)
        # An input for each edge; how often it was taken would ask for ten times as many.
        options = ["-merge=1", "-use_counters=0", f"-max_len={self.args.most}", fresh]
        subprocess.run(self.command(*options, *self.corpora()), env=self.env, check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        place = os.path.join(self.args.merge, self.name)
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        sizes = []
        for name in os.listdir(fresh):
            sizes.append(os.path.getsize(os.path.join(fresh, name)))
            shutil.copy(os.path.join(fresh, name), os.path.join(place, name[:16]))
        return f"{self.name}: {len(sizes)} inputs, {sum(sizes)} bytes"


def main():
    parser = argparse.ArgumentParser(description="run the fuzzers")
    parser.add_argument("--build", default="build/fuzzing", help="directory with fuzz/NAME")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--merge", metavar="DIRECTORY", help="write a minimal corpus instead")
    parser.add_argument("--most", type=int, default=4096, help="bytes of an input in that")
    parser.add_argument("--lines", type=int, default=60, help="what to show of a failure")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    args = parser.parse_args()
    for name in args.names:
        if name not in NAMES:
            parser.error(f"no fuzzer '{name}'; there are: {', '.join(NAMES)}")

    fuzzers = [Fuzzer(name, args) for name in args.names or NAMES]
    if args.merge:
        for fuzzer in fuzzers:
            print(fuzzer.merge(), flush=True)
        return 0
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for good, lines in pool.map(Fuzzer.run, fuzzers):
            passed += good
            print("\n".join(lines), flush=True)
    print(f"{passed} passed, {len(fuzzers) - passed} failed")
    return passed != len(fuzzers)


if __name__ == "__main__":
    sys.exit(main())
