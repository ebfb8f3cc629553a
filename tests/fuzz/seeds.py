#!/usr/bin/python3
"""Makes the first inputs of each fuzzer; what fuzzers make of them is merged into corpus/.

    tests/fuzz/seeds.py --replay build/fuzz/replay DIRECTORY

Writes DIRECTORY/NAME/seed-*. Needs a compiler (one for arm64, too), binutils, zstd, lz4, xz and gzip.
"""

import argparse
import gzip
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile

# The ops of heap.c: its two tables.
BUILDING = ("used row tcache fast free unsorted top tcache_struct heap page mapping arena fence mmapped "
            "foreign fasts").split()
DAMAGING = "word small pointer link flip bytes repeat later cut".split()
OPS = {name: i for i, name in enumerate(BUILDING)} | {name: 32 + i for i, name in enumerate(DAMAGING)}
FORMATS = {  # the arguments of each, but for those that are places
    "used": "H", "row": "BB", "tcache": "B", "fast": "B", "free": "H", "unsorted": "H", "top": "B",
    "tcache_struct": "", "heap": "B", "page": "", "mapping": "", "arena": "", "fence": "BHB",
    "fasts": "BBB", "mmapped": "B", "foreign": "B", "word": "PQ", "small": "PH", "pointer": "PP", "link": "PP",
    "flip": "PB", "repeat": "PHB", "later": "BB", "cut": "B3", "bytes": "P",
}
MACHINES = {"x86_64": 0, "i386": 1, "aarch64": 2}
FORMS = 10
NONCONTIGUOUS, MOVING, BIG_PAGES, ODD_BREAK, ONE_FINDER = 1, 2, 4, 8, 16


def piece(index, offset):
    return struct.pack("<BH", 0, index) + offset.to_bytes(3, "little")


def of(kind, offset):
    """A place in main_arena, mp_, the TLS block, the tcache, a chunk, the newest arena, its heap."""
    kinds = ("arena", "mp", "tls", "tcache", "chunk", "newest", "heap")
    return struct.pack("<BH", 1 + kinds.index(kind), offset)


def chunk(number, word):
    return of("chunk", 8 * number + word)


def op(name, *args):
    out = bytes([OPS[name]])
    for code, arg in zip(FORMATS[name], args):
        if code == "P":
            out += arg
        elif code == "3":
            out += arg.to_bytes(3, "little")
        else:
            out += struct.pack("<" + code, arg)
    return out


def program(*ops, machine="x86_64", form=7, flags=0, extras=0, extra=0):
    head = struct.pack("<BBBBb", MACHINES[machine], form, flags, extras, extra)
    return head + b"".join(ops)


def typical():
    """A main arena of all kinds of chunks; 12 chunks, the last one is top."""
    return [op("tcache_struct"), op("used", 3), op("tcache", 0), op("tcache", 0), op("fast", 1),
            op("used", 0), op("free", 6), op("used", 1), op("unsorted", 30), op("used", 2),
            op("free", 100), op("used", 0), op("top", 1)]


def threads():
    return [op("arena"), op("used", 4), op("free", 20), op("used", 1), op("top", 0),
            op("arena"), op("used", 9), op("heap", 1), op("used", 2), op("fast", 0), op("top", 2)]


def heaps():
    """{name: program}"""
    out = {}
    for machine in MACHINES:
        for form in range(FORMS):
            out[f"{machine}-{form}"] = program(*typical(), *threads(), machine=machine, form=form,
                                               extras=form % 4)
    out["unused"] = program()
    out["long"] = program(op("row", 0, 255), op("row", 7, 100), op("free", 4), op("row", 1, 9),
                          op("top", 0), extras=4)
    out["regions"] = program(op("used", 5), op("fence", 1, 0, 0), op("mapping"), op("used", 3),
                             op("free", 9), op("used", 1), op("top", 0), flags=NONCONTIGUOUS)
    out["gap"] = program(op("used", 5), op("fence", 1, 5000, 0x41), op("used", 3), op("top", 3),
                         flags=ODD_BREAK)
    out["mmapped"] = program(op("used", 5), op("top", 0), op("mmapped", 40), op("mmapped", 0),
                             op("foreign", 3), extras=8 | 16)
    out["big-pages"] = program(*typical(), *threads(), machine="aarch64", flags=BIG_PAGES)
    out["wrong-system"] = program(*typical(), extra=-5)
    out["long-lists"] = program(op("fasts", 0, 20, 40), op("fasts", 1, 200, 40), op("fasts", 0, 7, 40),
                                op("top", 0), extras=2)
    damages = {
        "size": [op("word", chunk(5, 1), 1 << 40 | 1)],
        "zero-size": [op("small", chunk(5, 1), 0)],
        "text": [op("bytes", chunk(5, 0)) + struct.pack("<H", 40) + b"A" * 40],
        "fd": [op("pointer", chunk(6, 2), chunk(6, 0))],
        "bk": [op("word", chunk(8, 3), 2**64 - 8)],
        "double-free": [op("link", chunk(2, 2), chunk(2, 2))],
        "fast-loop": [op("link", chunk(4, 2), chunk(4, 0))],
        "ring": [op("pointer", of("newest", 2160), of("newest", 0))],
        "top": [op("pointer", of("arena", 96), chunk(3, 0))],
        "heap-info": [op("pointer", of("heap", 8), of("heap", 0))],
        "holes": [op("cut", 1, 0x300)],
        "moving": [op("later", 5, 2), op("word", chunk(5, 1), 0x31), op("later", 9, 1),
                   op("flip", chunk(6, 1), 4)],
        "gone": [op("repeat", piece(1, 0), 400, 0)],
    }
    for name, damage in damages.items():
        out["damage-" + name] = program(*typical(), *threads(), *damage, extras=len(name) % 8,
                                        flags=MOVING if name == "moving" else 0)
    return out


# ---- files -----------------------------------------------------------------------------------------

# Names and members as in glibc, so that all of it is asked for; the sizes are smaller.
MALLOC_C = """
typedef unsigned long size_t;
struct malloc_chunk { size_t mchunk_prev_size, mchunk_size; struct malloc_chunk *fd, *bk; };
struct malloc_state { int mutex, flags, have_fastchunks; struct malloc_chunk *fastbinsY[10], *top,
  *last_remainder, *bins[254]; unsigned binmap[4]; struct malloc_state *next, *next_free;
  size_t attached_threads, system_mem, max_system_mem; };
struct malloc_par { size_t trim_threshold, top_pad, mmap_threshold, arena_test, arena_max;
  int n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold; size_t mmapped_mem, max_mmapped_mem;
  char *sbrk_base; size_t tcache_bins, tcache_max_bytes, tcache_count, tcache_unsorted_limit; };
typedef struct _heap_info { struct malloc_state *ar_ptr; struct _heap_info *prev; size_t size,
  mprotect_size; char pad[0]; } heap_info;
typedef struct tcache_entry { struct tcache_entry *next; } tcache_entry;
typedef struct tcache_perthread_struct { unsigned short counts[64]; tcache_entry *entries[64]; }
  tcache_perthread_struct;
static struct malloc_state main_arena __attribute__((used)) = { .next = &main_arena };
static struct malloc_par mp_ __attribute__((used)) = { 131072, 131072, 131072, 8, 0, 0, 65536 };
static __thread tcache_perthread_struct *tcache __attribute__((used));
static __thread struct malloc_state *thread_arena __attribute__((used));
const char banner[] = "GNU C Library (nobody's) stable release version 2.36.";
heap_info *heap; void *__curbrk;
void *malloc(size_t n) { return thread_arena ? (void *)(heap->pad + n)
  : tcache->entries[n & 63]; }
int mallopt(int p, int n) { main_arena.flags = n; mp_.no_dyn_threshold = 1; switch (p) {
  case 1: mp_.trim_threshold = n; break; case 2: mp_.top_pad = n; break;
  case 3: mp_.mmap_threshold = n; break; case 4: mp_.n_mmaps_max = n; break;
  case 5: mp_.arena_test = n; break; default: mp_.arena_max = n; } return p; }
size_t malloc_stats(void) { size_t n = mp_.max_n_mmaps + mp_.max_mmapped_mem;
  struct malloc_state *a = &main_arena; do n += a->system_mem; while ((a = a->next) != &main_arena);
  return n; }
size_t mallinfo2(void) { struct malloc_state *a = &main_arena; size_t n = mp_.mmapped_mem;
  do n += a->system_mem; while ((a = a->next) != &main_arena); return n; }
"""

LINK = ["-shared", "-nostdlib", "-fPIC", "-Os", "-fno-asynchronous-unwind-tables", "-Wl,-s",
        "-Wl,-z,noseparate-code,-z,norelro,--build-id=none,--hash-style=gnu", "-fno-ident"]
VARIANTS = {
    "types": ["-gdwarf-4"],
    "types-5": ["-gdwarf-5", "-gz=none"],
    "packed": ["-gdwarf-5", "-gz=zlib"],
    "old-packed": ["-gdwarf-4", "-gz=zlib-gnu"],
    "32": ["-m32", "-gdwarf-4"],
    "symbols": ["-g0"],
    "stripped": ["-g0", "-Wl,-s"],
    "build-id": ["-g0", "-Wl,--build-id=sha1"],
    "arm64": ["-g0", "-Wl,-s"],
}
CROSS = {"arm64": "aarch64-linux-gnu-gcc"}


def libraries(directory):
    source = os.path.join(directory, "malloc.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write(MALLOC_C)
    out = {}
    for name, flags in VARIANTS.items():
        path = os.path.join(directory, name)
        compiler = CROSS.get(name, "cc")
        if not shutil.which(compiler):
            print(f"no {compiler}: a seed less")
            continue
        link = [f for f in LINK if f != "-Wl,-s"]
        subprocess.run([compiler, *link, *flags, "-o", path, "malloc.c"], cwd=directory, check=True)
        with open(path, "rb") as f:
            out[name] = f.read()
    return out


def packed(directory):
    plain = b"\x7fELF" + b"what stands in a core " * 20 + bytes(9000) + b"its end" + bytes(300)
    path = os.path.join(directory, "plain")
    with open(path, "wb") as f:
        f.write(plain)

    def tool(*command):
        return subprocess.run([*command, "-c", path], check=True, capture_output=True).stdout

    out = {
        "zstd": tool("zstd", "-q"),
        "zstd-19": tool("zstd", "-q", "-19", "--no-check"),
        "lz4": tool("lz4", "-q"),
        "lz4-checked": tool("lz4", "-q", "-BX", "-B4", "-9"),
        "xz": lzma.compress(plain),
        "xz-crc32": lzma.compress(plain, check=lzma.CHECK_CRC32, preset=0),
        "gzip": gzip.compress(plain, mtime=0),
        "plain": plain[:40],
        "nothing": b"",
        "bomb": gzip.compress(bytes(3 << 20), mtime=0),
    }
    for name in ("zstd", "lz4", "xz", "gzip"):
        out[name + "-twice"] = out[name] * 2
        out[name + "-cut"] = out[name][: len(out[name]) * 2 // 3]
    out["zstd-skipped"] = struct.pack("<II", 0x184D2A50, 5) + b"abcde" + out["zstd"]
    out["lz4-skipped"] = out["lz4"] + struct.pack("<II", 0x184D2A5F, 3) + b"abc"
    return out


METRICS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../include/heapwalk/metrics.def")


def report(arenas, scale=1, **more):
    """What --diff reads of a report, and some of what it does not."""
    with open(METRICS, encoding="utf-8") as f:
        metrics = re.findall(r'^HW_METRIC\(\w+, "(\w+)", (\w+)', f.read(), re.M)
    assert metrics
    figures = {name: 0.25 if unit == "RATIO" else 16 * scale * n for n, (name, unit) in enumerate(metrics)}
    sizes = [{"from": 1 << n, "to": (2 << n) - 1, "chunks": scale, "bytes": scale << n} for n in (4, 5, 12)]
    return {"schema_version": 1, "heapwalk": {"version": "0"}, "complete": True,
            "findings": [{"kind": "note", "arena": None, "text": "a \u00e9"}],
            "target": {"pid": 7, "start_ticks": 9, "comm": "prog"},
            "method": {"time": f"2026-01-02T03:04:{scale % 60:02}.567Z"},
            "totals": figures, "rss": {"rss_bytes": scale << 20}, "histogram": sizes, "in_use_histogram": sizes[1:],
            "arenas": [{"index": n, "address": hex(0x7f00 + (n << 20)), **figures} for n in range(arenas)], **more}


def reports():
    """Pairs, and some that are alone."""
    def pair(*all_of_it):
        return b"\0".join(json.dumps(r, separators=(",", ":")).encode() for r in all_of_it)

    least = {"schema_version": 1, "heapwalk": {}, "totals": {}}
    other = {"pid": 8, "start_ticks": None, "comm": "x\u009b"}
    partial = [{"kind": "bad_chunk", "text": "\u001b" + "\u20ac" * 100}]
    return {
        "alone": pair(report(2)),
        "grown": pair(report(1), report(3, 5)),
        "shrunk": pair(report(3, 5), report(1)),
        "other-process": pair(report(2), report(2, 3, target=other)),
        "partial": pair(report(1, complete=False, findings=partial), least),
        "largest": pair(report(1), report(1, 1 << 50)),
        "comparison": pair({**least, "same_process": None}),
        "version": pair({**least, "schema_version": 2}),
        "kinds": pair({**least, "arenas": [{"address": "0x-1", "index": -1, "utilization": 1e308}]}),
    }


def cores(replay, directory, programs):
    """The images of some programs, as cores."""
    out = {}
    for name in ("x86_64-7", "i386-4", "aarch64-9", "mmapped", "unused"):
        source, path = os.path.join(directory, "program"), os.path.join(directory, "core")
        with open(source, "wb") as f:
            f.write(programs[name])
        subprocess.run([replay, "--core", source, path], check=True)
        with open(path, "rb") as f:
            out[name] = f.read()
    out["cut"] = out["mmapped"][: len(out["mmapped"]) // 2]
    return out


def main():
    parser = argparse.ArgumentParser(description="first inputs for the fuzzers")
    parser.add_argument("--replay", default="build/fuzz/replay")
    parser.add_argument("directory")
    args = parser.parse_args()
    programs = heaps()
    with tempfile.TemporaryDirectory() as scratch:
        seeds = {"walk": programs, "roots": programs, "unpack": packed(scratch),
                 "debug": libraries(scratch), "core": cores(args.replay, scratch, programs),
                 "report": reports()}
    for fuzzer, inputs in seeds.items():
        place = os.path.join(args.directory, fuzzer)
        os.makedirs(place, exist_ok=True)
        for name, data in inputs.items():
            with open(os.path.join(place, "seed-" + name), "wb") as f:
                f.write(data)
        print(f"{fuzzer}: {len(inputs)} seeds, {sum(map(len, inputs.values()))} bytes")


if __name__ == "__main__":
    main()
