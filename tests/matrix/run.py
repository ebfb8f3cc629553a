#!/usr/bin/python3
"""The matrix of real C libraries: heapwalk against victims that run under several releases of
glibc on several machines, with the libc's debug file, without, and from cores with no other file.

    tests/matrix/run.py --build build [--sample] [-k WORD ...]

Names are LIBC/CASE/VARIANT/MODE, for example bullseye/mixed/stripped/gcore, and with one finder of
malloc's roots alone LIBC/CASE/VARIANT/MODE/FINDER. Each -k WORD must occur in the name; A|B is
either. A libc that cannot be fetched is skipped, and named.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(HERE, "..", "e2e"))

import hide
import libcs
from cells import EXCUSED, OK, PARTIAL, REFUSED, SKIPPED, WRONG, Job
from expect import cases_of, sample_of
from machines import MACHINES

MOST_SHOWN, MOST_LINES = 6, 4  # failures of one cell, lines of each


def show(cell, verbose):
    notes = f"; {'; '.join(cell.notes)}" if cell.notes and cell.outcome != SKIPPED else ""
    if cell.outcome == SKIPPED:
        print(f"skip {cell.name}: {cell.notes[0]}")
        return
    word = "ok" if cell.outcome in (OK, EXCUSED) else "FAIL"
    print(f"{word:<4} {cell.name} ({cell.seconds:.2f} s{notes})")
    for failure in cell.failures if verbose else cell.failures[:MOST_SHOWN]:
        lines = failure.splitlines()
        if len(lines) > MOST_LINES and not verbose:
            lines[MOST_LINES - 1:-1] = ["..."]
        print("     " + "\n     ".join(lines))
    if len(cell.failures) > MOST_SHOWN and not verbose:
        print(f"     ... and {len(cell.failures) - MOST_SHOWN} more")


def share(counts):
    """'14/16 1p', in the letters that the legend explains."""
    whole = sum(counts.values())
    if not whole:
        return "-"
    others = (WRONG, PARTIAL, REFUSED, SKIPPED, EXCUSED)
    marks = [f" {counts[outcome]}{outcome[0]}" for outcome in others if counts[outcome]]
    return f"{counts[OK]}/{whole}" + "".join(marks)


def column_of(cell):
    return ("alone", cell.finder.name) if cell.finder else (cell.variant, cell.mode)


def table(rows, cells):
    """Libc by variant: for each mode how many cells passed; and for each finder alone."""
    names, counts, columns = {libc.name for libc in rows}, {}, {}
    for cell in cells:
        if cell.variant and cell.libc in names:
            counts.setdefault((cell.libc, *column_of(cell)), Counter())[cell.outcome] += 1
            columns[column_of(cell)] = None
    columns = sorted(columns, key=lambda c: (*libcs.VARIANTS, "alone").index(c[0]))
    first = {}  # of each variant: the column that is headed by its name
    for column in columns:
        first.setdefault(column[0], column)
    lines = [["", "", *(c[0] if first[c[0]] == c else "" for c in columns)],
             ["libc", "glibc", *(m for _, m in columns)]]
    for libc in rows:
        figures = [share(counts.get((libc.name, *column), Counter())) for column in columns]
        version = ".".join(map(str, libc.version))
        lines.append([libc.name, version, *figures])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())
    print()


def tables(rows, cells):
    seen = {cell.libc for cell in cells}
    for machine in MACHINES:
        mine = [libc for libc in rows if libc.machine == machine and libc.name in seen]
        if mine:
            table(mine, cells)
    if seen:
        print("passed/all, and of the rest so many: w wrong, p partial (status 1), "
              "r refused (status 2), s skipped, e excused: partial or refused as it must be")


def wanted_by(words):
    choices = [word.split("|") for word in words]
    return lambda name: all(any(w in name for w in words) for words in choices)


def prepare(args, rows):
    """Fetch and compile. Returns the rows that can be run and how many failed to compile."""
    libcs.fetch(rows, args.cache)
    there = [libc for libc in rows if not libc.missing]
    for libc in there:
        libc.build = os.path.join(args.build, "matrix", libc.name)
    broken = libcs.compile_all(there, lambda l: {c.victim for c in args.cases(l)}, args.jobs)
    for libc, name, why in broken:
        print(f"FAIL {libc.name}: victim {name} cannot be compiled: {why}")
    return there, len(broken)


def run_job(job):
    return job.run()


def summary(rows, cells, broken, seconds):
    outcomes = Counter(cell.outcome for cell in cells)
    failed = outcomes[WRONG] + outcomes[PARTIAL] + outcomes[REFUSED] + broken
    missing = [libc for libc in rows if libc.missing]
    print()
    tables(rows, cells)
    print()
    for libc in missing:
        print(f"skip {libc.name}: {libc.missing}")
    print(f"matrix: {seconds:.0f} s, {outcomes[SKIPPED]} cells skipped, "
          f"{outcomes[EXCUSED]} excused, {len(missing)} of {len(rows)} libcs missing")
    print(f"{outcomes[OK] + outcomes[EXCUSED]} passed, {failed} failed")
    nothing = not cells and not missing  # no cell has such a name
    return 1 if failed or nothing else 0


def main():
    parser = argparse.ArgumentParser(description="heapwalk under several releases of glibc")
    parser.add_argument("--build", default="build", help="directory with heapwalk")
    parser.add_argument("--cache", help="directory of the libcs; see scripts/fetch-libcs.sh")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--verbose", action="store_true", help="show every failure of a cell")
    parser.add_argument("--sample", action="store_true",
                        help="some victims for each libc, all of them for all libcs together")
    parser.add_argument("-k", dest="words", action="append", default=[], metavar="WORD")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    if not os.access(os.path.join(args.build, "heapwalk"), os.X_OK):
        sys.exit(f"run.py: no {args.build}/heapwalk: run make first")

    can_hide, start = hide.enter(), time.monotonic()
    os.environ.pop("DEBUGINFOD_URLS", None)  # no debug file but those we give
    sys.stdout.reconfigure(line_buffering=True)
    rows, wants = libcs.rows(), wanted_by(args.words)
    numbers = {libc.name: i for i, libc in enumerate(rows)}
    args.cases = cases_of
    if args.sample:
        args.cases = lambda libc: sample_of(libc, numbers[libc.name])
    there, broken = prepare(args, rows)
    jobs = [Job(args.build, libc, case, can_hide, wants)
            for libc in there for case in args.cases(libc)]
    cells = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for done in pool.map(run_job, [job for job in jobs if job.cells]):
            for cell in done:
                show(cell, args.verbose)
            cells += done
    return summary(rows, cells, broken, time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
