"""Small programs from tests/programs, compiled for one test; and files of other packages."""

import glob
import os
import select
import shutil
import subprocess

from process import Victim, thread_states, unlimited_core, wait_for
from suite import Skip

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "programs")


def compiled(place, source, *flags, compiler=None, name="program"):
    """Compile tests/programs/SOURCE.c; Skip if the compiler cannot do that here."""
    compiler = compiler or os.environ.get("CC", "cc")
    program = os.path.join(place, name)
    if not shutil.which(compiler):
        raise Skip(f"no {compiler} here")
    done = subprocess.run(
        [compiler, "-D_GNU_SOURCE", "-O0", "-fno-builtin", *flags, "-o", program,
         os.path.join(SOURCES, source + ".c")],
        capture_output=True, check=False)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise Skip(f"{compiler} {' '.join(flags)}: {why[-1] if why else 'failed'}")
    return program


def library(pattern, package):
    """The path of a library that a package brought; Skip if it is not installed."""
    found = [path for place in ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib")
             for path in sorted(glob.glob(os.path.join(place, pattern)))]
    if not found:
        raise Skip(f"no {pattern} here (Debian: {package})")
    return found[0]


class Program:
    """A running program that says "ready", quacking like a Victim."""

    def __init__(self, place, command, env=None, stdin=subprocess.DEVNULL):
        self.directory = place
        # stderr is for the sanitizers' and valgrind's greetings.
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, cwd=place,
                                        env={**os.environ, **(env or {})},
                                        preexec_fn=unlimited_core)
        self.pid = self.process.pid
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline() if ready else b"(nothing)"
        if line != b"ready\n":
            self.close()
            raise RuntimeError(f"{command} said {line!r} instead of ready")
        wait_for(lambda: all(s == "S" for s, _ in thread_states(self.pid).values()), 2)

    __enter__, __exit__ = Victim.__enter__, Victim.__exit__
    close, kernel_core = Victim.close, Victim.kernel_core
