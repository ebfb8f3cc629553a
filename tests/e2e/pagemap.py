"""Which pages of a process are in RAM and which are swapped out, as /proc/PID/pagemap and
/proc/kpageflags tell root: page by page, not in the way heapwalk asks."""

import bisect
import os
import struct

PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT, SWAPPED, EXCLUSIVE = 1 << 63, 1 << 62, 1 << 56
FRAME = (1 << 55) - 1
ZERO_PAGE = 1 << 24
AT_ONCE = 1 << 16


def frames_may_be_seen():
    return os.access("/proc/kpageflags", os.R_OK)


def locked_ranges(pid):
    """[(start, end)] of what is locked in RAM."""
    ranges = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        for line in f:
            first = line.split()[0]
            if "-" in first and not first.endswith(":"):
                start, end = (int(word, 16) for word in first.split("-"))
            elif first == "VmFlags:" and "lo" in line.split():
                ranges.append((start, end))
    return ranges


class Frames:
    """Is a page frame the kernel's page of zeros?"""

    def __init__(self):
        self.file = open("/proc/kpageflags", "rb", buffering=0)
        self.known = {}

    def is_zero(self, frame):
        if frame not in self.known:
            self.file.seek(frame * 8)
            (flags,) = struct.unpack("<Q", self.file.read(8))
            self.known[frame] = bool(flags & ZERO_PAGE)
        return self.known[frame]


class Pages:
    """The state of all pages that ranges [(address, bytes)] touch, at the time of the call. `present`
    and `swapped` are sorted numbers of pages; pages of zeros are in neither."""

    def __init__(self, pid, ranges):
        present, swapped = set(), set()
        frames = Frames()
        with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as f:
            for start, size in ranges:
                first, last = start // PAGE, (start + size + PAGE - 1) // PAGE
                for at in range(first, last, AT_ONCE):
                    f.seek(at * 8)
                    entries = f.read(min(AT_ONCE, last - at) * 8)
                    for page, (entry,) in enumerate(struct.iter_unpack("<Q", entries), at):
                        if entry & SWAPPED:
                            swapped.add(page)
                        elif entry & PRESENT and not (
                            not entry & EXCLUSIVE and frames.is_zero(entry & FRAME)
                        ):
                            present.add(page)
        frames.file.close()
        self.present, self.swapped = sorted(present), sorted(swapped)

    def resident(self, start, size):
        """How many bytes of a range are in RAM."""
        return bytes_on(self.present, start, size)

    def on_swap(self, start, size):
        return bytes_on(self.swapped, start, size)


def bytes_on(pages, start, size):
    """How many bytes of [start, start + size) lie on these pages."""
    end = start + size
    if size <= 0:
        return 0
    low = bisect.bisect_left(pages, start // PAGE)
    high = bisect.bisect_left(pages, (end + PAGE - 1) // PAGE)
    total = (high - low) * PAGE
    if high > low:
        total -= max(0, start - pages[low] * PAGE)
        total -= max(0, (pages[high - 1] + 1) * PAGE - end)
    return total
