"""What malloc_trim(0) does, written down once more: from the list of chunks and the pages, without
any figure of heapwalk's. The rules are those of malloc/malloc.c: malloc_consolidate() merges fastbin
chunks with their neighbours, mtrim() gives back whole pages within free chunks, systrim() the end
of the main arena's top."""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

from pagemap import PAGE

BOOKKEEPING = 6  # words of struct malloc_chunk
MINSIZE = {8: 32, 4: 16}  # by the bytes of a word
MERGES = ("bin", "fastbin", "top")
FULLNESS = (0, 10, 25, 50, 75, 100)


@dataclass
class Run:
    """Free chunks next to each other."""
    arena: int
    start: int
    end: int
    top: bool

    @property
    def size(self):
        return self.end - self.start


def runs_of(chunks):
    """Chunks of one arena, ascending within a heap -> its runs."""
    runs, last = [], None
    for c in chunks:
        if c.state in MERGES:
            if last is None or last.end != c.address:
                last = Run(c.arena, c.address, c.address, False)
                runs.append(last)
            last.end += c.bytes
            if c.state == "top":  # the next region may begin right behind it
                last.top, last = True, None
        else:
            last = None
    return runs


def systrim(top, unit, word):
    """What goes at the end of a top of so many bytes."""
    return max(0, top - MINSIZE[word] - 1) // unit * unit


def given_back(run, main, brk, unit, word):
    """[start, end) of what malloc_trim(0) gives back of a run."""
    if run.top:
        extra = systrim(run.size, unit, word) if main and run.end == brk else 0
        return run.end - extra, run.end
    if run.size <= PAGE - 1 + BOOKKEEPING * word:
        return run.end, run.end
    return -(-(run.start + BOOKKEEPING * word) // PAGE) * PAGE, run.end // PAGE * PAGE


class Model:
    """Of one arena: `goes`, the pages that vanish; the bytes that stay, by reason; the figures."""

    def __init__(self, chunks, pages, brk, locked=(), unit=PAGE, word=8):
        self.goes, self.swap_goes = set(), set()
        self.stays = dict.fromkeys(("shared_page", "tcache", "thread_top", "main_top", "other"), 0)
        self.kinds = defaultdict(lambda: [0, 0, 0])
        self.pages, self.locked = pages, locked
        main = bool(chunks) and chunks[0].arena == 0
        for run in runs_of(chunks):
            self._trim(run, main, given_back(run, main, brk, unit, word))
        for c in chunks:
            self._count(c)

    def _trim(self, run, main, asked):
        start, end = asked
        wanted = self.pages.resident(start, end - start)
        stuck = self._cut(run, start, end)
        self.stays["other"] += self.pages.resident(stuck, end - stuck)
        end = stuck
        inside = range(start // PAGE, end // PAGE)
        self.goes.update(_within(self.pages.present, inside))
        self.swap_goes.update(_within(self.pages.swapped, inside))
        why = "shared_page" if not run.top else "main_top" if main else "thread_top"
        self.stays[why] += self.pages.resident(run.start, run.size) - wanted

    def _cut(self, run, start, end):
        """madvise() stops at the first mapping that is locked; the break does not."""
        if run.top:
            return end
        return min([end, *(max(start, a) for a, b in self.locked if a < end and b > start)])

    def _count(self, c):
        resident = self.pages.resident(c.address, c.bytes)
        swapped = self.pages.on_swap(c.address, c.bytes)
        row = self.kinds[c.state]
        row[0] += resident
        row[1] += swapped
        row[2] += c.bytes - resident - swapped
        if c.state == "tcache":
            self.stays["tcache"] += resident


def _within(pages, numbers):
    """Those of sorted `pages` that are in a range."""
    return pages[bisect_left(pages, numbers.start):bisect_left(pages, numbers.stop)]


def fullness(chunks, pages, heaps):
    """Bytes of resident pages of heaps by how much of each is in use: the rows of page_fullness."""
    used = defaultdict(int)
    for c in chunks:
        if c.state == "in use":
            at, end = c.address, c.address + c.bytes
            while at < end:
                following = min(end, (at // PAGE + 1) * PAGE)
                used[at // PAGE] += following - at
                at = following
    rows = [0] * len(FULLNESS)
    numbers = {page for start, size in heaps
               for page in _within(pages.present,
                                   range(start // PAGE, (start + size + PAGE - 1) // PAGE))}
    for page in numbers:
        share = used[page] * 100
        row = next(i for i, percent in enumerate(FULLNESS) if share <= percent * PAGE)
        rows[row] += PAGE
    return rows
