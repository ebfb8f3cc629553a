"""The C libraries of the matrix: fetching them, and compiling the victims against each."""

import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from machines import AMD64, ARM64, MACHINES, Machine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SOURCES = os.path.join(ROOT, "tests", "victims")
COMMON = ("victim.c", "victim.h")
SUITES = ("bullseye", "bookworm", "trixie", "sid")
TAGGED_SUITES = ("bookworm", "trixie")  # 2.31 cannot, 2.43 and qemu 7.2 do not get along
# As the Makefile compiles them, but for warnings: headers of old releases may raise some.
CFLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-builtin", "-pthread"]

FETCH_SECONDS, TIMED_OUT = 150, 124  # all suites of a machine take half a minute, if all is well

# What heapwalk is given: a libc with its debug file (a static program: its symbols); without; and
# for cores only, none of the process's files but the debug file; no file at all.
SYMBOLS, STRIPPED, DETACHED, NOFILES = "symbols", "stripped", "detached", "nofiles"
VARIANTS = (SYMBOLS, STRIPPED, DETACHED, NOFILES)
HIDDEN = (DETACHED, NOFILES)

# ROOT PROGRAM DIRECTORY ARGUMENT...: into another root, where the program's directory is /mnt and
# the other one /media, both only in a mount namespace of its own.
CHROOT = """root=$1 program=$2 place=$3
shift 3
mount --bind "${program%/*}" "$root/mnt" && mount --bind "$place" "$root/media" &&
    exec chroot "$root" sh -c 'cd /media && exec "$@"' sh "/mnt/${program##*/}" /media "$@"
"""


@dataclass
class Libc:
    """One row of the matrix."""

    name: str  # bullseye, bookworm-static, trixie-i386, ...
    suite: str
    machine: Machine = AMD64
    variants: tuple = VARIANTS
    link: tuple = ()  # () for a dynamic program
    emulation: tuple = ()  # options of the emulator
    tunables: str = ""  # in GLIBC_TUNABLES of every victim
    chroot: bool = False  # a whole system of its own, in which the victims run
    package: str = ""  # the version of its package
    place: str = ""  # where it is unpacked
    tree: str = ""  # where that system is
    build: str = ""  # its victims are in build/victims/
    missing: str = ""  # why it is not here

    @property
    def root(self):
        return os.path.join(self.tree or self.place, "root")

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

    def command(self, case):
        """The command and the environment that the victim of a case is run by."""
        env = dict(case.env)
        if self.tunables:
            env["GLIBC_TUNABLES"] = ":".join(filter(None, (self.tunables,
                                                           env.get("GLIBC_TUNABLES"))))
        if self.chroot:
            return ["unshare", "--mount", "sh", "-c", CHROOT, "chroot", self.root], env
        return self.machine.command(env, self.emulation)

    def exe_of(self, program):
        """Where heapwalk finds the program of a victim that runs."""
        return os.path.join(self.root, "mnt", os.path.basename(program)) if self.chroot else program

    def options(self, symbols, from_core):
        """What heapwalk is told about the place of files."""
        debug = ("--debuginfo-path", self.debug_path) if symbols and not self.static else ()
        return debug + (("--sysroot", self.root) if self.chroot and from_core else ())

    def libraries(self):
        triplet = self.machine.triplet
        return [d for d in (os.path.join(self.root, "usr/lib", triplet),
                            os.path.join(self.root, "lib", triplet)) if os.path.isdir(d)]

    def compiler_options(self):
        """This libc's headers, start files and libraries; its own loader, by absolute path. For
        another root nothing of it: what is compiled here runs there."""
        if self.chroot:
            return []
        headers = os.path.join(self.root, "usr", "include")
        options = ["--sysroot=" + self.root, "-nostdinc"]
        for directory in (self.machine.own_headers(),
                          os.path.join(headers, self.machine.triplet), headers):
            options += ["-isystem", directory]
        options += [f"-B{self.libraries()[0]}/"]
        options += ["-L" + directory for directory in self.libraries()]
        if not self.static:
            loader = os.path.join(self.root, self.machine.loader)
            options += ["-Wl,--dynamic-linker=" + loader, "-Wl,-rpath," + self.libraries()[-1]]
        return options + list(self.link)


def rows_of(machine):
    """Debian's libc.a has symbols but no DWARF."""
    suffix = machine.suffix
    return [
        *(Libc(suite + suffix, suite, machine) for suite in SUITES),
        Libc(f"bookworm{suffix}-static", "bookworm", machine, (SYMBOLS,), ("-static",)),
        Libc(f"bookworm{suffix}-static-s", "bookworm", machine, (STRIPPED, NOFILES),
             ("-static", "-s")),
    ]


def rows():
    """Every row, fetched or not."""
    tree = Libc("trixie-tree", "trixie", variants=(SYMBOLS, STRIPPED, NOFILES), chroot=True)
    tagged = [Libc(f"{suite}-arm64-mte", suite, ARM64, emulation=("-cpu", "max"),
                   tunables="glibc.mem.tagging=1") for suite in TAGGED_SUITES]
    return [*(row for machine in MACHINES for row in rows_of(machine)), *tagged, tree]


def run_fetch(arch, suites, cache, kind=""):
    """{suite: (package, place, why it is missing)}, as fetch-libcs.sh said of it"""
    command = ["timeout", str(FETCH_SECONDS), os.path.join(ROOT, "scripts", "fetch-libcs.sh")]
    command += ["--arch", arch, *(["--dir", cache] if cache else [])]
    command += ["--" + kind] if kind else []
    done = subprocess.run([*command, *suites], stdout=subprocess.PIPE, text=True, check=False)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    failed = f"skipped: fetch-libcs.sh ended with {done.returncode}"
    if done.returncode == TIMED_OUT:
        failed = f"skipped: it could not be fetched within {FETCH_SECONDS} s"
    found = {}
    for suite in suites:
        words = said.get(f"{suite}-{arch}" + ("-" + kind if kind else ""), failed)
        if words.startswith("skipped: "):
            found[suite] = "", "", words.removeprefix("skipped: ")
        else:
            found[suite] = *words.split(" ", 1), ""
    return found


def why_no_machine(machine):
    """Why programs for it cannot be compiled or run here, or None."""
    for program in (shlex.split(machine.compiler)[0], machine.emulator):
        if program and not shutil.which(program):
            return f"there is no {program} (Debian: {machine.packages})"
    libgcc = machine.compile("-print-libgcc-file-name").stdout.strip()
    if not os.path.isfile(libgcc):
        return f"{machine.compiler} has no {libgcc} (Debian: {machine.packages})"
    return None


def fetch(libcs, cache):
    """Find out where each is, fetching it if need be. What cannot be had says why in `missing`."""
    with ThreadPoolExecutor() as pool:
        of_machines = [[libc for libc in libcs if libc.machine == m] for m in MACHINES]
        list(pool.map(lambda mine: fetch_machine(mine, cache), filter(None, of_machines)))


def fetch_machine(libcs, cache):
    machine, suites = libcs[0].machine, list(dict.fromkeys(libc.suite for libc in libcs))
    why = why_no_machine(machine)
    found = run_fetch(machine.debian, suites, cache) if not why else {}
    for libc in libcs:
        libc.package, libc.place, libc.missing = found.get(libc.suite, ("", "", why))
        if libc.chroot and not libc.missing:
            fetch_tree(libc, cache)


def fetch_tree(libc, cache):
    """The debug file is that of the libc alone, if it is the same one."""
    package = libc.package
    [found] = run_fetch(libc.machine.debian, [libc.suite], cache, "tree").values()
    libc.package, libc.tree, libc.missing = found
    if libc.package != package:
        libc.variants = tuple(v for v in libc.variants if v != SYMBOLS)


def is_older(path, sources):
    try:
        made = os.stat(path).st_mtime
    except OSError:
        return True
    return any(os.stat(source).st_mtime >= made for source in sources)


def compile_victim(libc, name):
    """None, or what the compiler said."""
    source, program = os.path.join(SOURCES, name + ".c"), os.path.join(libc.build, "victims", name)
    common = [os.path.join(SOURCES, f) for f in COMMON]
    recipe = [os.path.join(libc.place, "version"), *(os.path.join(HERE, f) for f in
                                                     ("libcs.py", "machines.py"))]
    if not is_older(program, [source, *common, *recipe]):
        return None
    done = libc.machine.compile(*CFLAGS, "-o", program + ".new", source, common[0],
                                *libc.compiler_options())
    if done.returncode != 0:
        return f"{shlex.join(done.args)}\n{done.stderr.strip()}"
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
