"""gdb with scripts/heapwalk-gdb.py: run to its end by commands, or on a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

from suite import Skip

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.realpath(os.path.join(HERE, "..", "..", "scripts", "heapwalk-gdb.py"))
MARK = "<<<<<<"
QUIET = {"DEBUGINFOD_URLS": ""}  # gdb would ask
SECONDS = 60


def command(*words):
    """gdb, as nobody has set it up."""
    if not shutil.which("gdb"):
        raise Skip("no gdb here")
    return ["gdb", "-nx", "-q", *map(str, words)]


def loaded(tool):
    """Commands to begin with."""
    return [f"source {SCRIPT}", f"set heapwalk path {tool.path}"]


def attached(victim):
    """Arguments of gdb, and of heapwalk as well."""
    return ["-p", victim.pid]


class Batch:
    """What `gdb -batch` wrote for each of some commands, and how it ended."""

    def __init__(self, tool, target, *commands, first=None, env=None):
        first = loaded(tool) if first is None else first
        words = []
        for line in first:
            words += ["-ex", line]
        for line in commands:
            words += ["-ex", f"echo \\n{MARK}\\n", "-ex", line]
        done = subprocess.run(command("-batch", *target, *words), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=300, check=False,
                              env={**tool.env, **QUIET, **(env or {})})
        self.status, self.err = done.returncode, done.stderr.decode(errors="replace")
        out = done.stdout.decode(errors="replace")
        out = re.sub(r"\[Inferior \d+ \(.*\) detached\]\n", "", out)
        self.before, *self.outputs = out.split(f"\n{MARK}\n")
        self.outputs = [text.rstrip("\n") + "\n" if text.strip() else "" for text in self.outputs]

    def __str__(self):
        return f"gdb: status {self.status}, stderr: {self.err.strip()[-500:] or '(none)'}"


def children(pid, name):
    """Processes below `pid` that run a program of that name."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                comm, rest = re.match(r"\d+ \((.*)\) (.*)", f.read(), re.S).groups()
        except (OSError, AttributeError):
            continue
        if comm == name and int(rest.split()[1]) == pid:
            found.append(int(entry))
    return found


class Terminal:
    """gdb as a user has it. Use as a context manager."""

    PROMPT = "(gdb) "

    def __init__(self, tool, target, rows=1000, columns=80, first=None, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        env = {**tool.env, **QUIET, "TERM": "xterm", **(env or {})}
        # Of its own session, so that Ctrl-C is for those who run on this terminal.
        self.process = subprocess.Popen(
            command("-iex", "set editing off", *target), stdin=slave, stdout=slave, stderr=slave,
            env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.pid = self.process.pid
        try:
            self.until(self.PROMPT)
            for line in loaded(tool) if first is None else first:
                self.ask(line)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """A debugger that ends lets go of what it holds."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def until(self, end, seconds=SECONDS):
        """All that comes until `end`, which must come last."""
        text, limit = "", time.monotonic() + seconds
        while not text.endswith(end):
            ready, _, _ = select.select([self.master], [], [], max(0, limit - time.monotonic()))
            if not ready:
                raise RuntimeError(f"gdb did not say {end!r}, but {text[-1000:]!r}")
            text += os.read(self.master, 65536).decode(errors="replace")
        return text.replace("\r\n", "\n")

    def send(self, text):
        os.write(self.master, text.encode())

    def ask(self, line, end=PROMPT):
        """The answer to one command."""
        self.send(line + "\n")
        return self.until(end)[len(line) + 1:-len(end)]
