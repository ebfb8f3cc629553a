"""What differs between the CPUs whose processes heapwalk reads, as far as tests can see it."""

from dataclasses import dataclass

TAG = 0xff << 56


@dataclass(frozen=True)
class Machine:
    word: int  # bytes of a pointer; what a chunk in use has beyond its usable bytes
    heap: int  # alignment of the heaps of thread arenas
    tagged: bool = False  # the top byte of a pointer, TAG, is no part of the address


MACHINES = {
    "x86_64": Machine(8, 64 << 20),
    "i386": Machine(4, 1 << 20),
    "aarch64": Machine(8, 64 << 20, True),
}


def machine_of(report):
    return MACHINES[report["target"]["arch"]]
