"""--whatis: what an address is."""

import os

from cases import Case
from chunk_checks import parse
from modes import good, running
from process import mappings
from report_checks import SCHEMA, check_schema
from text_checks import check_text

TARGET = Case("target", "tcache", (7, 7))
UNMAPPED = 0x10
WHATIS = os.path.join(os.path.dirname(SCHEMA), "whatis.schema.json")


def ask(t, tool, pid, address):
    ran = tool.run("--whatis", f"{address:#x}", "-p", pid)
    if not good(t, ran):
        return ""
    return ran.out.decode()


def says(t, tool, pid, what, address, *words):
    text = ask(t, tool, pid, address)
    for word in words:
        t.check(word.lower() in text.lower(), f"{what} at {address:#x}: no {word!r} in: {text!r}")
    for line in text.splitlines():
        path = line.split()[0] in ("mapping", "module")  # as long as they are
        t.check(path or len(line) <= 80, f"{what}: {len(line)} columns: {line}")


def answers(t, tool):
    with running(tool.build, TARGET) as victim:
        pid = victim.pid
        chunks = parse(tool.run("--chunks", "-f", "csv", "-p", pid).out)
        blocks = victim.blocks()
        block, usable = next(iter(blocks.items()))
        says(t, tool, pid, "a live block", block, "in use", f"{block - 16:#x}")
        says(t, tool, pid, "inside a live block", block + usable // 2, "in use", f"{block - 16:#x}")
        says(t, tool, pid, "its second byte", block + 1, "is 1 byte into it")
        says(t, tool, pid, "a header", block - 16, "in use")
        for pointer, tid in victim.expectations("cached"):
            says(t, tool, pid, "a freed block", int(pointer, 16), "tcache", tid)
        for top in (c for c in chunks if c.state == "top"):
            says(t, tool, pid, "top", top.address + 100, "top")
        for part in [c for c in chunks if c.state == "overhead"][:1]:
            says(t, tool, pid, "overhead", part.address + 1, "overhead")
        for m in mappings(pid):
            if m.path == "[stack]":
                says(t, tool, pid, "the main stack", m.end - 64, "stack of thread")
                ran = tool.run("--no-stop", "--whatis", f"{m.end - 64:#x}", "-p", pid)
                t.check(b"stack of thread" in ran.out, f"the main stack of what runs: {ran}")
            elif "libc.so" in m.path and "x" in m.permissions:
                says(t, tool, pid, "libc's text", (m.start + m.end) // 2, "libc")
        says(t, tool, pid, "nothing", UNMAPPED, "not mapped")
        says(t, tool, pid, "nothing at the end", 2**64 - 1, "not mapped")


def neighbours(t, tool):
    """Above is what begins where a chunk ends, below what ends where it begins."""
    with running(tool.build, Case("target", "bins")) as victim:
        chunks = [c for c in parse(tool.run("--chunks", "-f", "csv", "-p", victim.pid).out) if c.arena is not None]
        by_start = {c.address: c for c in chunks}
        by_end = {c.address + c.bytes: c for c in chunks}
        pairs = [(by_end.get(c.address), c, by_start.get(c.address + c.bytes)) for c in chunks]
        inside = [p for p in pairs if None not in p]
        ends = [p for p in pairs if None in p]
        t.check(len(inside) > 100 and len(ends) > 1, f"{len(inside)} chunks between others, {len(ends)} at ends")
        for below, chunk, above in inside[:: len(inside) // 10] + ends[:3] + ends[-3:]:
            ran = tool.run("-J", "--whatis", f"{chunk.address:#x}", "-p", victim.pid)
            if not good(t, ran):
                return
            told = ran.json()["chunk"]
            for side, other in (("below", below), ("above", above)):
                found = told[side] and (int(told[side]["address"], 16), told[side]["bytes"], told[side]["state"])
                t.equal(f"{side} {chunk.address:#x}", found, other and (other.address, other.bytes, other.state))
                says(t, tool, victim.pid, f"a chunk with others {side}", chunk.address,
                     f"  {side}    {other.address:#x}, " if other else f"  {side}    nothing: its heap ends here")


def last_bytes(t, tool):
    """A block's last 8 bytes lie where the next chunk's header begins. They are the block's."""
    with running(tool.build, TARGET) as victim:
        for block, usable in list(victim.blocks().items())[:3]:
            last = block + usable - 1
            says(t, tool, victim.pid, "the last byte of a block", last, f"{block - 16:#x}")


def many_agree(t, tool):
    """Every kind of chunk, asked for one by one, is what the listing says it is."""
    with running(tool.build, Case("target", "bins")) as victim:
        chunks = parse(tool.run("--chunks", "-f", "csv", "-p", victim.pid).out)
        for state in ("in use", "mmapped", "tcache", "fastbin", "bin", "top"):
            some = [c for c in chunks if c.state == state]
            t.check(some, f"no {state} chunk")
            for c in some[:: max(1, len(some) // 3)][:3]:
                word = {"bin": "free", "mmapped": "mapping of its own"}.get(state, state)
                text = ask(t, tool, victim.pid, c.address + min(20, c.bytes - 1)).lower()
                found = word in text or state in text
                t.check(found, f"{state} at {c.address:#x}: {text!r}")


def places(pid):
    """One in each kind of mapping."""
    return list({(m.path, m.permissions): m.start for m in mappings(pid)}.values())


def as_json(t, tool):
    with running(tool.build, TARGET) as victim:
        block = next(iter(victim.blocks()))
        ran = tool.run("-J", "--whatis", f"{block:#x}", "-p", victim.pid)
        if good(t, ran):
            answer = ran.json()
            t.check("in use" in repr(answer), f"no state in {answer}")
        for place in [block, *places(victim.pid), UNMAPPED]:
            if good(t, ran := tool.run("-J", "--whatis", f"{place:#x}", "-p", victim.pid)):
                check_schema(t, ran.json(), WHATIS)
        ran = tool.run("--whatis", f"{block:x}", "-p", victim.pid)  # as it is copied, without 0x
        if good(t, ran):
            t.check("in use" in ran.out.decode(), f"an address without 0x: {ran.out!r}")
            check_short(t, ran.out)


def check_short(t, out):
    if len(out.splitlines()) > 5:
        check_text(t, out)


def run(suite, tool, _args):
    suite.run("whatis/answers", answers, tool)
    suite.run("whatis/last-bytes", last_bytes, tool)
    suite.run("whatis/neighbours", neighbours, tool)
    suite.run("whatis/agrees-with-listing", many_agree, tool)
    suite.run("whatis/json", as_json, tool)
