"""Holes and pins once more, from the listing of chunks: slowly, remembering everything."""

from dataclasses import dataclass, field

HEAP_MAX = 64 << 20
MINSIZE = 32
FREE = ("bin", "fastbin", "top")
WORTH = 65536
REMEMBERED = 128  # stretches that heapwalk tells apart for sure


@dataclass
class Run:
    arena: int
    address: int
    size: int
    chunks: int
    has_top: bool
    below: object
    above: object


def adjoin(a, b):
    """What lies behind a top is another piece of memory, even right behind it."""
    return (a is not None and b is not None and a.arena == b.arena and a.state != "top"
            and a.address + a.bytes == b.address)


def runs_of(chunks):
    """Free chunks next to each other, and what they lie between."""
    found, run = [], None
    inside = [c for c in chunks if c.arena is not None]
    for before, c, after in zip([None, *inside], inside, [*inside[1:], None]):
        if c.state not in FREE:
            continue
        if not (adjoin(before, c) and before.state in FREE):
            run = Run(c.arena, c.address, 0, 0, False, before if adjoin(before, c) else None, None)
            found.append(run)
        run.size += c.bytes
        run.chunks += 1
        run.has_top = c.state == "top"
        run.above = after if adjoin(c, after) else None
    return found


@dataclass
class Stretch:
    start: int
    free: int = 0
    pins: list = field(default_factory=list)


def stretches_of(chunks, arena):
    """Those that could join top, lowest first, and top; None if there is no top."""
    found, before = [], None
    for c in (c for c in chunks if c.arena == arena["index"]):
        main = arena["kind"] == "main"
        if main and (c.state == "overhead" or (before and not adjoin(before, c))):
            found = []
        in_run = adjoin(before, c) and before.state in FREE
        if c.state == "top":
            found = found[: len(found) - in_run]
            while found and not found[-1].pins:
                found.pop()
            return found, c
        if c.state in FREE:
            if not in_run:
                found.append(Stretch(c.address))
            found[-1].free += c.bytes
        elif c.state != "overhead":
            if not found:
                found.append(Stretch(c.address))
            found[-1].pins.append(c)
        before = c
    return None


def has_room(report, arena, start):
    heaps = arena["heaps"]
    own = next(h for h in heaps if 0 <= start - int(h["address"], 16) < h["bytes"])
    if arena["kind"] == "main" or own is heaps[-1]:
        return True
    room = int(own["address"], 16) + own["bytes"] - start + HEAP_MAX - own["bytes"]
    return room >= MINSIZE + report["target"]["page_size"] + report["params"]["top_pad"]


def can_be_given_back(arena, top):
    at_break = arena["brk"] is not None and int(arena["brk"], 16) == top.address + top.bytes
    return arena["kind"] == "thread" or at_break or (arena["brk"] is None and arena["contiguous"])


def pins_of(report, arena, chunks, first):
    """The stretches that are to be named, lowest first. If there are more than heapwalk tells apart,
    those from the one that begins with the chunk `first` on, provided they may be named."""
    found = stretches_of(chunks, arena)
    if found is None or not can_be_given_back(arena, found[1]):
        return []
    found = found[0]
    candidates, cost, free = [], 0, 0
    for i in reversed(range(len(found))):
        cost += sum(c.bytes for c in found[i].pins)
        free += found[i].free
        if cost <= free // 16 and has_room(report, arena, found[i].start):
            candidates.append((i, free))
    if not candidates or candidates[-1][1] < WORTH:
        return []
    if len(found) <= REMEMBERED:
        most = candidates[-1][1]
        return found[next(i for i, free in candidates if free >= most - most // 8):]
    possible = (found[i:] for i, _ in candidates if found[i].pins and found[i].pins[0].address == first)
    return next(possible, [])
