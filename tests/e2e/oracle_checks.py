"""Is the oracle itself in order? What the allocator says in three ways, and the victim's list."""

import re
import xml.etree.ElementTree as ElementTree


def check_oracle(t, victim):
    blocks, info = victim.blocks(), victim.mallinfo2()
    check_disjoint(t, blocks)
    held = info["uordblks"] + info["hblkhd"]
    t.check(sum(blocks.values()) <= held, f"blocks of {sum(blocks.values())} bytes, held {held}")
    t.equal("used + free", info["uordblks"] + info["fordblks"], info["arena"])

    root = ElementTree.fromstring(victim.text("malloc_info.xml"))
    t.equal("system of malloc_info", int(root.find("system[@type='current']").get("size")),
            info["arena"])
    mmapped = root.find("total[@type='mmap']")
    if mmapped is not None:
        got = (int(mmapped.get("count")), int(mmapped.get("size")))
        t.equal("mmap of malloc_info", got, (info["hblks"], info["hblkhd"]))
    fast = root.find("total[@type='fast']")
    if fast is not None:
        got = (int(fast.get("count")), int(fast.get("size")))
        t.equal("fast of malloc_info", got, (info["smblks"], info["fsmblks"]))

    stats = victim.text("malloc_stats.txt").decode()
    if held < 1 << 32:
        used = [int(n) for n in re.findall(r"in use bytes *= *(\d+)", stats)]
        t.equal("in use of malloc_stats", used[-1], held)
        t.equal("arenas of malloc_stats", len(used) - 1, len(root.findall("heap")))
    t.note(f"{len(blocks)} blocks, {len(root.findall('heap'))} arenas, {info['hblks']} mmapped, "
           f"{info['arena'] >> 10} KiB")


def check_disjoint(t, blocks):
    last = 0
    for pointer, usable in sorted(blocks.items()):
        if not t.check(pointer >= last, f"block {pointer:#x} begins before {last:#x}"):
            return
        last = pointer + usable
