#!/usr/bin/python3
"""End-to-end tests: heapwalk against programs that know their own heap.

    tests/e2e/run.py --build build [NAME ...]

Names select tests that contain them, for example: mmapped, /live, bad/, harmless.
"""

import argparse
import multiprocessing
import os
import sys
import time

import act
import badinput
import busy
import completions
import cores
import cores_large
import cores_missing
import cores_packed
import cores_stored
import damage
import damage_victims
import diff
import dryrun
import everyday
import foreign
import gdb
import gdb_manners
import gdb_running
import harmless
import held
import hidden
import holes
import hostile
import i386
import install
import layouts
import manners
import manpages
import maxpause
import modes
import mutate
import nostop
import output
import readme
import residency
import sandbox
import series
import snapshot
import static_build
import streams
import stress
import tables
import verdict
import whatis
from cases import CASES
from suite import Suite
from tool import Tool

MODULES = (install, static_build, manpages, readme, completions, act,
           cores, cores_large, cores_missing, cores_packed, cores_stored, layouts, whatis, output, verdict, busy,
           badinput, foreign, hidden, everyday, i386, damage, damage_victims, hostile, mutate, residency,
           sandbox, tables, diff, series, streams, holes, dryrun, held, gdb, gdb_manners, gdb_running, manners,
           maxpause, nostop)
# Their victims, dozens of threads that wake all the time and some that never sleep, are too much at
# once for a scheduler: on Linux 6.18 both together, without heapwalk, kept all else from running for
# half a minute.
IN_TURN = (stress, snapshot, harmless)


def run_in_turn(suite, tool, args):
    for module in IN_TURN:
        module.run(suite, tool, args)


def groups():
    """What may run side by side. The modules come first: the longest of them takes longest."""
    return [(run_in_turn,)] + [(module.run,) for module in MODULES] + [(modes.run_case, case) for case in CASES]


def leave_out(args):
    return [name for name in args.skip.split(",") if name]


def run_group(number, tool, args):
    """In a process of its own: the suite with the results."""
    sys.stdout.reconfigure(line_buffering=True)
    suite = Suite(args.names, leave_out(args))
    run, *case = groups()[number]
    run(suite, tool, *(case or [args]))
    return suite


def main():
    parser = argparse.ArgumentParser(description="end-to-end tests of heapwalk")
    parser.add_argument("--build", default="build", help="directory with heapwalk and victims/")
    parser.add_argument("--rounds", type=int, default=100, help="how often heapwalk is killed")
    parser.add_argument("--mutations", type=int, default=300, help="how many cores are damaged at "
                        "random; tests/e2e/mutate.py does the same alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many side by side")
    parser.add_argument("--skip", default="", help="leave out tests whose name contains one of "
                        "these, with commas between them")
    parser.add_argument("names", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()

    tool = Tool(args.build)
    if not os.access(tool.path, os.X_OK):
        sys.exit(f"run.py: no {tool.path}: run make first")
    sys.stdout.reconfigure(line_buffering=True)
    suite, start = Suite(args.names, leave_out(args)), time.monotonic()
    with multiprocessing.get_context("fork").Pool(args.jobs, maxtasksperchild=1) as pool:
        todo = [(number, tool, args) for number in range(len(groups()))]
        for done in pool.starmap(run_group, todo, chunksize=1):
            suite.add(done)
    print(f"e2e: {time.monotonic() - start:.0f} s")
    return suite.summary()


if __name__ == "__main__":
    sys.exit(main())
