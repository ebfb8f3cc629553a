"""Victims of 32 bits under this system's own 32-bit libc: heapwalk, of 64 bits, reads them as well.
Other libcs of that machine are the matrix's business."""

from cases import CASES
from modes import names_of, run_case
from process import workplace
from programs import compiled_victim
from suite import Skip

NAMES = ("many-threads", "big-arenas", "mmapped-dynamic", "tcache-full", "fastbins", "mixed")
# The kernel's headers for this machine are in a directory that -m32 does not search.
FLAGS = ("-m32", "-idirafter", "/usr/include/x86_64-linux-gnu")


def compiled(place, victim):
    try:
        compiled_victim(place, victim, *FLAGS)
    except Skip as why:
        raise Skip(f"{why} (Debian: libc6-dev-i386, lib32gcc-12-dev)") from why


def run_here(suite, tool, place, case):
    name = "i386/" + case.name
    if not any(suite.wants(name) for name in names_of(name)):
        return
    try:
        compiled(place, case.victim)
    except Skip as why:
        suite.skip(name, str(why))
    else:
        run_case(suite, tool, case, name, place)


def run(suite, tool, _args):
    with workplace() as place:
        for case in CASES:
            if case.name in NAMES:
                run_here(suite, tool, place, case)
