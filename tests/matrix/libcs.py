"""The C libraries of the matrix: fetching them, and compiling the victims against each."""

import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SOURCES = os.path.join(ROOT, "tests", "victims")
COMMON = ("victim.c", "victim.h")
TRIPLET = "x86_64-linux-gnu"
# As the Makefile compiles them, but for warnings: headers of old releases may raise some.
CFLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-builtin", "-pthread"]

# What heapwalk is given: a libc with its debug file (a static program: its symbols); without; and
# for cores only, none of the process's files but the debug file; no file at all.
SYMBOLS, STRIPPED, DETACHED, NOFILES = "symbols", "stripped", "detached", "nofiles"
VARIANTS = (SYMBOLS, STRIPPED, DETACHED, NOFILES)
HIDDEN = (DETACHED, NOFILES)


@dataclass
class Libc:
    """One row of the matrix."""

    name: str  # bullseye, bookworm-static, ...
    suite: str
    variants: tuple = VARIANTS
    link: tuple = ()  # () for a dynamic program
    package: str = ""  # the version of its package
    place: str = ""  # where it is unpacked
    build: str = ""  # its victims are in build/victims/
    missing: str = ""  # why it is not here
    env: dict = field(default_factory=dict)

    @property
    def root(self):
        return os.path.join(self.place, "root")

    @property
    def version(self):
        """(2, 36)"""
        return tuple(int(n) for n in self.package.split("-", maxsplit=1)[0].split(".")[:2])

    @property
    def static(self):
        return "-static" in self.link

    @property
    def debug_path(self):
        return os.path.join(self.place, "debug", "usr", "lib", "debug")

    def libraries(self):
        return [d for d in (os.path.join(self.root, "usr/lib", TRIPLET),
                            os.path.join(self.root, "lib", TRIPLET)) if os.path.isdir(d)]

    def compiler_options(self):
        """This libc's headers, start files and libraries; its own loader, by absolute path."""
        options = ["--sysroot=" + self.root, f"-B{self.libraries()[0]}/"]
        options += ["-L" + directory for directory in self.libraries()]
        if not self.static:
            loader = os.path.join(self.root, "lib64", "ld-linux-x86-64.so.2")
            options += ["-Wl,--dynamic-linker=" + loader, "-Wl,-rpath," + self.libraries()[-1]]
        return options + list(self.link)


def rows():
    """Every row, fetched or not. Debian's libc.a has symbols but no DWARF."""
    return [
        Libc("bullseye", "bullseye"),
        Libc("bookworm", "bookworm"),
        Libc("trixie", "trixie"),
        Libc("sid", "sid"),
        Libc("bookworm-static", "bookworm", (SYMBOLS,), ("-static",)),
        Libc("bookworm-static-s", "bookworm", (STRIPPED, NOFILES), ("-static", "-s")),
    ]


def fetch(libcs, cache):
    """Find out where each is, fetching it if need be. What cannot be had says why in `missing`."""
    suites = list(dict.fromkeys(libc.suite for libc in libcs))
    command = [os.path.join(ROOT, "scripts", "fetch-libcs.sh")]
    command += ["--dir", cache] if cache else []
    done = subprocess.run([*command, *suites], stdout=subprocess.PIPE, text=True, check=False)
    found = {}
    for line in done.stdout.splitlines():
        name, rest = line.split(" ", 1)
        found[name.removesuffix("-amd64")] = rest
    for libc in libcs:
        said = found.get(libc.suite, f"skipped: fetch-libcs.sh ended with {done.returncode}")
        if said.startswith("skipped: "):
            libc.missing = said.removeprefix("skipped: ")
        else:
            libc.package, libc.place = said.split(" ", 1)


def is_older(path, sources):
    try:
        made = os.stat(path).st_mtime
    except OSError:
        return True
    return any(os.stat(source).st_mtime >= made for source in sources)


def compile_victim(libc, name):
    """None, or what the compiler said."""
    source, program = os.path.join(SOURCES, name + ".c"), os.path.join(libc.build, "victims", name)
    stamp = os.path.join(libc.place, "version")
    common = [os.path.join(SOURCES, f) for f in COMMON]
    if not is_older(program, [source, *common, stamp, os.path.abspath(__file__)]):
        return None
    compiler = shlex.split(os.environ.get("MATRIX_CC", "gcc"))
    command = [*compiler, *CFLAGS, "-o", program + ".new", source, common[0],
               *libc.compiler_options()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"{shlex.join(command)}\n{done.stderr.strip()}"
    os.replace(program + ".new", program)
    return None


def compile_all(libcs, victims_of, jobs):
    """Compile what each row needs; a row whose victims cannot be compiled says so and fails."""
    wanted = [(libc, name) for libc in libcs for name in sorted(victims_of(libc))]
    for libc in libcs:
        os.makedirs(os.path.join(libc.build, "victims"), exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        said = pool.map(lambda pair: compile_victim(*pair), wanted)
        return [(libc, name, why) for (libc, name), why in zip(wanted, said) if why]
