"""What is measured, and what it is measured with: fillers, cores, plain reads, runs of heapwalk."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager

GIB, MIB = 1 << 30, 1 << 20
NO_LIMIT = ["--max-pause", "none"]  # keeps a process stopped until all is read


class Failure(Exception):
    """Something could not be measured at all."""


def run(command, **kwargs):
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          **kwargs)
    if done.returncode != 0:
        raise Failure(f"{command[0]}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Filler:
    """A running bench/filler.c. Use as a context manager: it ends with it, or with us."""

    def __init__(self, build, size, chunk_bytes=0, freed=33, lists="bins", threads=0):
        command = [os.path.join(build, "bench", "filler"), size, chunk_bytes, freed, lists, threads]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        try:
            self.chunks = int(self.answer().split()[1])
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the filler has ended: out of memory?")
        return line

    def order(self, letter):
        """A number of nanoseconds, in seconds."""
        self.process.stdin.write(letter)
        self.process.stdin.flush()
        return int(self.answer()) / 1e9


class Subject:
    """The programs of one build directory."""

    def __init__(self, build, scratch):
        self.build, self.scratch = build, scratch
        self.heapwalk = os.path.join(build, "heapwalk")

    def filler(self, *args, **kwargs):
        return Filler(self.build, *args, **kwargs)

    def program(self, name):
        return os.path.join(self.build, "bench", name)

    def has_room_for_core(self, size):
        """Whether the core of a heap of that size fits onto the disk."""
        return shutil.disk_usage(self.scratch).free > 1.5 * size

    @contextmanager
    def core(self, size):
        """The core, made by gdb, of a filler that has ended. It is there for the time of a `with`."""
        with self.filler(size) as filler:
            path = os.path.join(self.scratch, f"core.{filler.pid}")
            run(["gcore", "-o", os.path.join(self.scratch, "core"), filler.pid],
                env={**os.environ, "DEBUGINFOD_URLS": ""})
        try:
            yield path
        finally:
            os.unlink(path)

    def plain_read(self, kind, what):
        """Seconds and bytes of the yardstick: `kind` is "process" or "file"."""
        count, ns, cpu = map(int, run([self.program("plainread"), kind, what]).split())
        return {"seconds": ns / 1e9, "cpu": cpu / 1e9, "bytes": count}

    def timed(self, *command):
        """Seconds, also of CPU time, peak RSS, status and output of any command."""
        result = os.path.join(self.scratch, "measure")
        out = run([self.program("measure"), result, *command])
        with open(result, encoding="ascii") as file:
            ns, cpu, rss_kib, status = map(int, file.read().split())
        return {"seconds": ns / 1e9, "cpu": cpu / 1e9, "rss": rss_kib * 1024, "status": status, "out": out}

    def walk(self, *args):
        """One run of heapwalk: what it took, and what it says."""
        ran = self.timed(self.heapwalk, "-J", *args)
        if ran["status"] not in (0, 1):
            raise Failure(f"heapwalk {' '.join(map(str, args))} ended with status {ran['status']}")
        report = json.loads(ran.pop("out"))
        totals, pause = report["totals"], report["method"]["pause_ns"]
        parked = totals["tcache_chunks"] + totals["fastbin_chunks"]
        return {**ran, "pause": None if pause is None else pause / 1e9,
                "complete": report["complete"],
                "rss_beyond": ran["rss"] - 16 * parked,  # the list of parked chunks is allowed for
                "chunks": parked + totals["in_use_chunks"] + totals["bin_chunks"]}


def in_turn(runs, **actions):
    """Each action `runs` times, all in turn, so that noise hits each of them alike, after one of
    each to warm the caches up. {name: list of results}"""
    results = {name: [] for name in actions}
    for i in range(runs + 1):
        for name, action in actions.items():
            result = action()
            if i:
                results[name].append(result)
    return results


def best(results, key):
    """The least of a figure; None where it is unknown."""
    known = [result[key] for result in results if result[key] is not None]
    return min(known) if known else None
