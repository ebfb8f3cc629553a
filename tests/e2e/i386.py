"""Victims of 32 bits under this system's own 32-bit libc: heapwalk, of 64 bits, reads them as well.
Other libcs of that machine are the matrix's business."""

import os
import subprocess

from cases import CASES
from modes import names_of, run_case
from process import workplace

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "victims")
NAMES = ("many-threads", "big-arenas", "mmapped-dynamic", "tcache-full", "fastbins", "mixed")
# The kernel's headers for this machine are in a directory that -m32 does not search.
FLAGS = ["-m32", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-builtin", "-pthread",
         "-idirafter", "/usr/include/x86_64-linux-gnu"]


def compiled(place, victim):
    """None, or why there can be none here."""
    program = os.path.join(place, "victims", victim)
    if os.path.exists(program):
        return None
    os.makedirs(os.path.dirname(program), exist_ok=True)
    sources = [os.path.join(SOURCES, name + ".c") for name in (victim, "victim")]
    compiler = os.environ.get("CC", "cc")
    done = subprocess.run([compiler, *FLAGS, "-o", program, *sources], capture_output=True,
                          text=True, check=False)
    if done.returncode == 0:
        return None
    return f"{compiler} -m32 does not work here (Debian: libc6-dev-i386, lib32gcc-12-dev)"


def run_here(suite, tool, place, case):
    name = "i386/" + case.name
    if not any(suite.wants(name) for name in names_of(name)):
        return
    if why := compiled(place, case.victim):
        suite.skip(name, why)
    else:
        run_case(suite, tool, case, name, place)


def run(suite, tool, _args):
    with workplace() as place:
        for case in CASES:
            if case.name in NAMES:
                run_here(suite, tool, place, case)
