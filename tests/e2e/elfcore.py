"""As much of ELF as is needed to damage a core on purpose."""

import struct

PT_LOAD = 1


def segments(data):
    """[(address, offset in the file, bytes in the file)] of the loaded segments."""
    phoff, phnum = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    found = []
    for i in range(phnum):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, phoff + 56 * i)
        if kind == PT_LOAD and size:
            found.append((address, offset, size))
    return found


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
