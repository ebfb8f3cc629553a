#!/usr/bin/python3
"""End-to-end tests: heapwalk against programs that know their own heap.

    tests/e2e/run.py --build build [NAME ...]

Names select tests that contain them, for example: mmapped, /live, bad/, harmless.
"""

import argparse
import os
import sys
import time

import badinput
import busy
import damage
import everyday
import foreign
import harmless
import hidden
import hostile
import i386
import layouts
import modes
import output
import residency
import whatis
from cases import CASES
from suite import Suite
from tool import Tool


def main():
    parser = argparse.ArgumentParser(description="end-to-end tests of heapwalk")
    parser.add_argument("--build", default="build", help="directory with heapwalk and victims/")
    parser.add_argument("--rounds", type=int, default=100, help="how often heapwalk is killed")
    parser.add_argument("names", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()

    tool = Tool(args.build)
    if not os.access(tool.path, os.X_OK):
        sys.exit(f"run.py: no {tool.path}: run make first")
    sys.stdout.reconfigure(line_buffering=True)
    suite, start = Suite(args.names), time.monotonic()
    for case in CASES:
        modes.run_case(suite, tool, case)
    for module in (layouts, whatis, output, busy, badinput, foreign, hidden, everyday, i386, damage,
                   hostile, residency, harmless):
        module.run(suite, tool, args)
    print(f"e2e: {time.monotonic() - start:.0f} s")
    return suite.summary()


if __name__ == "__main__":
    sys.exit(main())
