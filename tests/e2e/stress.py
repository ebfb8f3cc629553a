"""The stress tests of tests/stress, in few rounds."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "stress"))

# pylint: disable=wrong-import-position
import attach  # noqa: E402
import moving  # noqa: E402
import waits  # noqa: E402
from watch import Rounds  # noqa: E402


SECONDS = 10  # for each of them


def run_all(suite, tool, rounds, seconds):
    for module in (attach, waits, moving):
        module.run(suite, tool, Rounds(rounds, seconds))


def run(suite, tool, args):
    run_all(suite, tool, max(2, args.rounds // 5), SECONDS)
