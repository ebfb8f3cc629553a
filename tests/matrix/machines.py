"""The CPUs of the matrix: what Debian and the compilers call them, and what runs their programs."""

import shlex
import subprocess
from dataclasses import dataclass
from functools import lru_cache

LIVE, GCORE, CORE, QEMU = "live", "gcore", "core", "qemu"


@dataclass(frozen=True)
class Machine:
    debian: str
    triplet: str
    loader: str  # below the root of a libc
    compiler: str
    packages: str  # what Debian has it in
    emulator: str = ""  # what runs its programs on x86-64
    # The kinds of targets: `qemu` is a core as the emulator writes it, `core` as a kernel does.
    modes: tuple = (LIVE, GCORE, CORE)

    @property
    def suffix(self):
        return "" if self.debian == "amd64" else "-" + self.debian

    def command(self, env, options=()):
        """What to put in front of a program, and what to add to its environment."""
        if not self.emulator:
            return [], env
        settings = [word for name, value in env.items() for word in ("-E", f"{name}={value}")]
        return [self.emulator, *options, *settings], {}

    def compile(self, *arguments):
        return subprocess.run([*shlex.split(self.compiler), *arguments], capture_output=True,
                              text=True, check=False)

    @lru_cache
    def own_headers(self):
        """The compiler's own, without any libc's."""
        return self.compile("-print-file-name=include").stdout.strip()


AMD64 = Machine("amd64", "x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2", "gcc", "gcc")
I386 = Machine("i386", "i386-linux-gnu", "lib/ld-linux.so.2", "gcc -m32", "lib32gcc-12-dev")
ARM64 = Machine("arm64", "aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1",
                "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu qemu-user", "qemu-aarch64",
                (QEMU, CORE))
MACHINES = (AMD64, I386, ARM64)
