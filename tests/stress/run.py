#!/usr/bin/python3
"""Stress tests: heapwalk hundreds of times at targets that never stand still.

    tests/stress/run.py [--build DIR] [--rounds N] [--seconds S] [NAME ...]

Each test ends after N rounds or S seconds, whichever comes first; S = 0: after N rounds. Names select
tests that contain them. A short version of the same tests is part of tests/e2e.
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "e2e"))

# pylint: disable=wrong-import-position
import stress  # noqa: E402
from suite import Suite  # noqa: E402
from tool import Tool  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="stress tests of heapwalk")
    parser.add_argument("--build", default="build", help="directory with heapwalk and victims/")
    parser.add_argument("--rounds", type=int, default=500, help="how often each thing is tried")
    parser.add_argument("--seconds", type=float, default=30, help="at most so long; 0: no limit")
    parser.add_argument("names", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()
    suite = Suite(args.names)
    sys.stdout.reconfigure(line_buffering=True)
    stress.run_all(suite, Tool(args.build), args.rounds, args.seconds)
    return suite.summary()


if __name__ == "__main__":
    sys.exit(main())
