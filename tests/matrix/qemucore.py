"""Cores of programs that run under qemu-user, and what a Linux kernel would have saved beyond.

qemu's cores hold all of writable memory, and of notes NT_PRSTATUS, NT_PRPSINFO and NT_AUXV. A
kernel adds, and `as_by_kernel` does so after the fact,

    NT_FILE               which file is mapped where: the emulator's own list, as far as it is ours
    NT_ARM_TLS            the thread pointer of each thread: every victim writes down its threads'
    the headers of files  the first page of each ELF file that is mapped
"""

import glob
import os
import signal
import struct

from process import mappings

PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS, NT_FILE, NT_ARM_TLS = 1, 0x46494C45, 0x401
PAGE = 4096
SEGMENT = struct.Struct("<IIQQQQQQ")  # an Elf64_Phdr
TID_OFFSET = 32  # pr_pid in an elf_prstatus of 64 bits


def qemu_core(victim):
    """Make the victim dump core by its emulator: the path. It is dead then."""
    with open(f"/proc/{victim.pid}/coredump_filter", "w", encoding="ascii") as f:
        f.write("0")  # for the core of the emulator itself, which may come too
    # The emulator maps a program's files where the program sees them.
    victim.mapped = [m for m in mappings(victim.pid) if m.path.startswith("/")]
    os.kill(victim.pid, signal.SIGABRT)
    victim.process.wait(timeout=120)
    found = glob.glob(os.path.join(victim.directory, f"qemu_*_{victim.pid}.core"))
    if len(found) != 1:
        raise RuntimeError(f"the emulator wrote {len(found)} cores")
    return found[0]


def kernel_core(victim):
    """The same as a kernel would have written it."""
    [path] = glob.glob(os.path.join(victim.directory, "qemu_*.core")) or [qemu_core(victim)]
    pointers = {int(tid): int(tp, 16) for tid, tp in victim.expectations("thread_pointer")}
    with open(path, "r+b") as core:
        as_by_kernel(core, victim.mapped, pointers)
    return path


# ---- the file ------------------------------------------------------------------------------------


def segments(core):
    """[(place in the file, [type, flags, offset, vaddr, paddr, filesz, memsz, align])]"""
    core.seek(0)
    header = core.read(64)
    at, count = struct.unpack_from("<Q", header, 32)[0], struct.unpack_from("<H", header, 56)[0]
    core.seek(at)
    table = core.read(count * SEGMENT.size)
    return [(at + i * SEGMENT.size, list(SEGMENT.unpack_from(table, i * SEGMENT.size)))
            for i in range(count)]


def notes(data):
    """[(type, the whole note, its description)]"""
    found, at = [], 0
    while at < len(data):
        name, size, kind = struct.unpack_from("<III", data, at)
        start = at + 12 + (name + 3 & ~3)
        end = start + (size + 3 & ~3)
        found.append((kind, data[at:end], data[start:start + size]))
        at = end
    return found


def note(owner, kind, content):
    owner = owner.encode() + b"\0"
    head = struct.pack("<III", len(owner), len(content), kind)
    return head + owner.ljust(len(owner) + 3 & ~3, b"\0") + content.ljust(
        len(content) + 3 & ~3, b"\0")


def file_note(files):
    content = struct.pack("<QQ", len(files), PAGE)
    for m in files:
        content += struct.pack("<QQQ", m.start, m.end, m.offset // PAGE)
    return note("CORE", NT_FILE, content + b"".join(m.path.encode() + b"\0" for m in files))


def kernel_notes(data, files, pointers):
    """First a thread's NT_PRSTATUS, then what the process has, then what else its threads have."""
    threads, process = [], b""
    for kind, whole, content in notes(data):
        if kind == NT_PRSTATUS:
            tid = struct.unpack_from("<i", content, TID_OFFSET)[0]
            tls = note("LINUX", NT_ARM_TLS, struct.pack("<QQ", pointers[tid], 0))
            threads.append((whole, tls))
        else:
            process += whole
    (status, tls), others = threads[0], threads[1:]
    rest = b"".join(status + tls for status, tls in others)
    return status + process + file_note(files) + tls + rest


def append(core, content):
    """Where in the file it is now."""
    core.seek(0, os.SEEK_END)
    core.write(b"\0" * (-core.tell() % PAGE))
    at = core.tell()
    core.write(content)
    return at


def first_page(mapping):
    """The first page of an ELF file; nothing of any other."""
    if mapping.offset != 0 or not os.path.isfile(mapping.path):
        return b""
    with open(mapping.path, "rb") as f:
        page = f.read(PAGE)
    return page.ljust(PAGE, b"\0") if page.startswith(b"\x7fELF") else b""


def tids(path):
    """The threads in a core."""
    with open(path, "rb") as core:
        for _, (kind, _, offset, _, _, size, _, _) in segments(core):
            if kind == PT_NOTE:
                core.seek(offset)
                return [struct.unpack_from("<i", content, TID_OFFSET)[0]
                        for kind, _, content in notes(core.read(size)) if kind == NT_PRSTATUS]
    return []


def as_by_kernel(core, mapped, pointers):
    table = segments(core)
    loaded = [s for _, s in table if s[0] == PT_LOAD]
    files = [m for m in mapped
             if any(s[3] <= m.start < s[3] + s[6] for s in loaded)]
    heads = {m.start: first_page(m) for m in files}
    for at, segment in table:
        if segment[0] == PT_NOTE:
            core.seek(segment[2])
            content = kernel_notes(core.read(segment[5]), files, pointers)
        elif segment[0] == PT_LOAD and segment[5] == 0 and heads.get(segment[3]):
            content = heads[segment[3]]
        else:
            continue
        segment[2], segment[5] = append(core, content), len(content)
        core.seek(at)
        core.write(SEGMENT.pack(*segment))
