"""Small programs from tests/programs, compiled for one test; and files of other packages."""

import glob
import os
import select
import shutil
import subprocess
import sys

from process import Victim, all_in, unlimited_core, wait_for
from suite import Skip

SEIZE = """
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0
print("ready", flush=True)
time.sleep(600)
"""
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def compile_to(program, sources, flags, compiler=None):
    """Compile files below tests/; Skip if the compiler cannot do that here."""
    compiler = compiler or os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        raise Skip(f"no {compiler} here")
    done = subprocess.run(
        [compiler, "-D_GNU_SOURCE", "-fno-builtin", *flags, "-o", program,
         *(os.path.join(TESTS, source) for source in sources)], capture_output=True, check=False)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise Skip(f"{compiler} {' '.join(flags)}: {why[-1] if why else 'failed'}")
    return program


def compiled(place, source, *flags, compiler=None, name="program"):
    """The program tests/programs/SOURCE.c."""
    return compile_to(os.path.join(place, name), [f"programs/{source}.c"], ["-O0", *flags],
                      compiler)


def compiled_victim(place, victim, *flags):
    """Make PLACE a build directory with a victim that is compiled with these flags."""
    program = os.path.join(place, "victims", victim)
    if not os.path.exists(program):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        compile_to(program, [f"victims/{victim}.c", "victims/victim.c"],
                   ["-std=gnu11", "-O1", "-g", "-pthread", *flags])


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
        wait_for(lambda: all_in(self.pid, "S"), 2)

    __enter__, __exit__ = Victim.__enter__, Victim.__exit__
    close, kernel_core = Victim.close, Victim.kernel_core


def tracer_of(place, pid):
    """Somebody else who traces a process, as a debugger does."""
    return Program(place, [sys.executable, "-c", SEIZE, str(pid)])
