"""As much of ELF as is needed to damage a core on purpose."""

import struct

PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS, NT_FILE = 1, 0x46494C45


class Header:
    """A program header, by its place in the file. It is written back by store()."""

    def __init__(self, data, at):
        self.at = at
        (self.kind, self.flags, self.offset, self.address, _, self.saved, self.bytes,
         self.align) = struct.unpack_from("<IIQQQQQQ", data, at)

    def store(self, data):
        struct.pack_into("<IIQQQQQQ", data, self.at, self.kind, self.flags, self.offset,
                         self.address, 0, self.saved, self.bytes, self.align)


def headers(data, kind):
    """The program headers of that kind, in the order of the file."""
    phoff, phnum = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    every = [Header(data, phoff + 56 * i) for i in range(phnum)]
    return [h for h in every if h.kind == kind]


def add_segments(data, added):
    """More headers of segments, so many that their number takes a section's header.
    `added`: (flags, address, offset in the file, bytes in the file, bytes of memory)."""
    phoff, phnum = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    old = bytes(data[phoff:phoff + 56 * phnum])
    section = len(data)
    data += struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, phnum + len(added), 0, 0)
    struct.pack_into("<QQ", data, 32, len(data), section)
    struct.pack_into("<HHHH", data, 56, 0xffff, 64, 1, 0)
    data += old
    for flags, address, offset, saved, size in added:
        data += struct.pack("<IIQQQQQQ", PT_LOAD, flags, offset, address, 0, saved, size, 4096)


def segments(data):
    """[(address, offset in the file, bytes in the file)] of the loaded segments."""
    return [(h.address, h.offset, h.saved) for h in headers(data, PT_LOAD) if h.saved]


def thread_note(data):
    """The first NT_PRSTATUS note, and where in it the thread's number stands."""
    whole = headers(data, PT_NOTE)[0]
    at = whole.offset
    while at < whole.offset + whole.saved:
        name, size, kind = struct.unpack_from("<III", data, at)
        start = at + 12 + (name + 3 & ~3)
        end = start + (size + 3 & ~3)
        if kind == NT_PRSTATUS:
            return bytes(data[at:end]), start - at + 32
        at = end
    raise ValueError("no thread in the core")


def hide_notes(data, kind):
    """Make the notes of that kind ones that nobody knows; how many there were."""
    hidden = 0
    for whole in headers(data, PT_NOTE):
        at = whole.offset
        while at < whole.offset + whole.saved:
            name, size, this = struct.unpack_from("<III", data, at)
            if this == kind:
                struct.pack_into("<I", data, at + 8, 0x7fff0000)
                hidden += 1
            at += 12 + (name + 3 & ~3) + (size + 3 & ~3)
    return hidden


def offset_of(data, address):
    """Where the byte at `address` lies in the file."""
    for start, offset, size in segments(data):
        if start <= address < start + size:
            return offset + address - start
    raise ValueError(f"{address:#x} is not in the core")


def poke(data, address, *words):
    """Overwrite 64-bit words at `address` of a bytearray."""
    struct.pack_into(f"<{len(words)}Q", data, offset_of(data, address), *words)


def peek(data, address):
    return struct.unpack_from("<Q", data, offset_of(data, address))[0]
