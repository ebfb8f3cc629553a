"""Victims: starting one, reading its oracle, and looking at the state of its threads."""

import mmap
import os
import resource
import select
import signal
import struct
import subprocess
import tempfile
import time
from typing import NamedTuple

from machine import MACHINES, TAG


def workplace():
    """A directory of one's own for the time of a `with`."""
    return tempfile.TemporaryDirectory(prefix="heapwalk-e2e-")


def thread_states(pid):
    """{tid: (state letter, TracerPid)} of a process; empty if it is gone."""
    states = {}
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            state, tracer = "?", -1
            try:
                with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as f:
                    for line in f:
                        if line.startswith("State:"):
                            state = line.split()[1]
                        elif line.startswith("TracerPid:"):
                            tracer = int(line.split()[1])
            except OSError:
                continue  # the thread ended
            states[int(tid)] = (state, tracer)
    except OSError:
        pass
    return states


def all_in(pid, state):
    return all(s == state for s, _ in thread_states(pid).values())


def untraced(pid):
    return all(tracer == 0 for _, tracer in thread_states(pid).values())


class Mapping(NamedTuple):
    start: int
    end: int
    permissions: str
    offset: int
    path: str


def mappings(pid):
    """What /proc/PID/maps tells."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        for line in f:
            words = line.split(maxsplit=5)
            start, end = (int(n, 16) for n in words[0].split("-"))
            path = words[5].strip() if len(words) > 5 else ""
            found.append(Mapping(start, end, words[1], int(words[2], 16), path))
    return found


def status_bytes(pid, key):
    """A size in /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(next(line for line in f if line.startswith(key + ":")).split()[1]) << 10


def wait_for(condition, seconds=5.0):
    """Poll until condition() is true; its last value."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return value


def settled(pid, before, seconds=2.0):
    """The states of a process once they are `before` again, or as they are after some time: a
    thread that was let go a moment ago may still be on its way back to sleep."""
    wait_for(lambda: thread_states(pid) == before, seconds)
    return thread_states(pid)


def unlimited_core():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Words:
    """The words of 64 bits that a victim shares in a file."""

    def __init__(self, directory, name):
        with open(os.path.join(directory, name), "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)

    def __getitem__(self, i):
        return struct.unpack_from("=Q", self.map, 8 * i)[0]

    def __setitem__(self, i, value):
        struct.pack_into("=Q", self.map, 8 * i, value)

    def first(self, count):
        return struct.unpack_from(f"={count}Q", self.map)


class Victim:
    """A running victim. Use as a context manager: it is killed at the end. It takes orders if it
    was asked to."""

    def __init__(self, build, directory, name, args=(), env=None, prefix=(), obeys=False):
        """`prefix` is a command that runs the program: an emulator, for example."""
        self.directory = directory
        program = os.path.join(build, "victims", name)
        self.process = subprocess.Popen(
            [*prefix, program, directory, *[str(a) for a in args]],
            stdin=subprocess.PIPE if obeys else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=directory,
            env={**os.environ, **(env or {})},
            preexec_fn=unlimited_core,
        )
        self.exe = program
        self.pid = self.process.pid
        try:
            self._await_ready()
            for words in self.expectations("pid"):
                self.pid = int(words[0])
            wait_for(lambda: all_in(self.pid, "S"), 1)
        except BaseException:
            self.close()
            raise

    def _answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        return self.process.stdout.readline() if ready else b"(nothing)"

    def _await_ready(self):
        line = self._answer()
        if line != b"ready\n":
            raise RuntimeError(f"victim {self.exe} said {line!r} instead of ready")

    def order(self, letter):
        """Have it obey an order of victim.h, and return the numbers that it answers."""
        os.write(self.process.stdin.fileno(), letter.encode())
        return [int(word) for word in self._answer().split()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kill it; the child of fork-child dies with its parent."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if self.process.stdin:
            self.process.stdin.close()

    def kernel_core(self):
        """Make it dump core and return the path, or None if none appeared. It is dead then."""
        os.kill(self.pid, signal.SIGABRT)
        if self.pid == self.process.pid:
            self.process.wait(timeout=120)
        else:
            wait_for(lambda: not os.path.exists(f"/proc/{self.pid}"), 60)
        for name in ("core", f"core.{self.pid}"):
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                return path
        return None

    # ---- the oracle ----

    def text(self, name):
        with open(os.path.join(self.directory, name), "rb") as f:
            return f.read()

    def has(self, name):
        return os.path.exists(os.path.join(self.directory, name))

    def expectations(self, word):
        """The words behind each `word` of expect.txt."""
        if not self.has("expect.txt"):
            return []
        lines = [line.split() for line in self.text("expect.txt").decode().splitlines()]
        return [words[1:] for words in lines if words and words[0] == word]

    def expected(self, word, otherwise):
        """The number behind the only `word` of expect.txt."""
        lines = self.expectations(word)
        return int(lines[0][0]) if lines else otherwise

    def mallinfo2(self):
        lines = self.text("mallinfo2.txt").decode().splitlines()
        return {k: int(v) for k, v in (line.split() for line in lines)}

    def blocks(self):
        """{address: usable size} of every live block."""
        lines = self.text("blocks.txt").decode().splitlines()
        untag = any(MACHINES[arch].tagged for (arch,) in self.expectations("arch"))
        mask = ~TAG if untag else -1
        return {int(p, 16) & mask: int(usable) for p, _, usable in map(str.split, lines)}
