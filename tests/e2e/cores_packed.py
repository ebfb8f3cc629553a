"""Cores in containers: compressed, in pipes, cut off and damaged on the way. What comes out is read
as the plain core is, and nothing is left behind."""

import os
import shutil
import subprocess
import threading
from contextlib import contextmanager

from badinput import check_refused
from cases import Case
from cores import compiled, problems
from damage import check_adds_up
from modes import good, kernel_core, running
from process import workplace
from report_checks import check_mallinfo2, check_schema, without_volatile
from suite import Skip

TARGET = Case("target", "many-threads", (6, 200))
# Packed by these, with its ending; what is packed twice, one after the other, is one core, too.
PACKERS = {
    "zst": ["zstd", "-q", "-c"],
    "lz4": ["lz4", "-q", "-c"],
    "xz": ["xz", "-1", "-c"],
    "gz": ["gzip", "-1", "-c"],
}
BOOT = "2c1d7a2b3e4f40519c1f0aa1b2c3d4e5"


def pack(ending, content):
    if not shutil.which(PACKERS[ending][0]):
        raise Skip(f"no {PACKERS[ending][0]} here")
    return subprocess.run(PACKERS[ending], input=content, capture_output=True, check=True).stdout


def put(place, name, content):
    path = os.path.join(place, name)
    with open(path, "wb") as f:
        f.write(content)
    return path


class Plain:
    """A core, what heapwalk says of it, and a directory for the packed ones."""

    def __init__(self, tool, victim, place):
        self.path, self.place, self.tool = kernel_core(victim), place, tool
        with open(self.path, "rb") as f:
            self.content = f.read()
        self.report = tool.run("-J", self.path).json()
        self.chunks = tool.run("--chunks", "-f", "csv", self.path).out

    def check_same(self, t, what, ran, name):
        """The same report but for the name of the core, and the time that it took."""
        if not good(t, ran):
            return
        got, want = ran.json(), {**self.report}
        t.equal(f"{what}: core", got["target"]["core"], name)
        got["target"] = {**got["target"], "core": self.report["target"]["core"]}
        t.equal(f"{what}: report", without_volatile(got), without_volatile(want))


@contextmanager
def plain(tool, build=None, case=TARGET):
    with running(build or tool.build, case) as victim, workplace() as place:
        yield Plain(tool, victim, place)


# ---- formats -------------------------------------------------------------------------------------


def formats(t, tool, ending):
    with plain(tool) as core:
        packed = pack(ending, core.content)
        t.note(f"{len(core.content) >> 10} KiB in {len(packed) >> 10}")
        # As `coredumpctl info` names it; and by its content, whatever it is called.
        for name in (f"core.many-threads.0.{BOOT}.4711.1700000000000000.{ending}", "no-ending"):
            path = put(core.place, name, packed)
            core.check_same(t, name, tool.run("-J", path), path)
        t.equal("chunks", tool.run("--chunks", "-f", "csv", path).out, core.chunks)
        half = len(core.content) // 2
        path = put(core.place, "twice", pack(ending, core.content[:half])
                   + pack(ending, core.content[half:]))
        core.check_same(t, "two streams in one file", tool.run("-J", path), path)


def piped(t, tool):
    """From standard input and from named pipes; packed or not."""
    with plain(tool) as core:
        contents = {"plain": core.content}
        for ending in PACKERS:
            contents[ending] = pack(ending, core.content)
        for what, content in contents.items():
            core.check_same(t, what, fed(tool, content, "-J", "-"), "-")
        fifo = os.path.join(core.place, "fifo")
        os.mkfifo(fifo)
        for delay in (0, 0.5):
            core.check_same(t, "named pipe", from_fifo(tool, fifo, contents["zst"], delay), fifo)
        with open(core.path, "rb") as f:
            ran = started(tool, f, "-J", "-")
        core.check_same(t, "a file as standard input", ran, "-")
        check_refused(t, fed(tool, b"", "-"), words=["standard input is empty"])
        check_refused(t, fed(tool, b"no core at all\n" * 100, "-"), words=["elf"])


def started(tool, stdin, *args):
    done = subprocess.run([*tool.command, *args], stdin=stdin, capture_output=True, timeout=120,
                          env=tool.env, check=False)
    return type(tool.run("--version"))(list(args), done.returncode, done.stdout, done.stderr)


def fed(tool, content, *args):
    """Run it on a pipe."""
    reader, writer = os.pipe()
    feeder = threading.Thread(target=feed, args=(writer, content))
    feeder.start()
    with os.fdopen(reader, "rb") as f:
        ran = started(tool, f, *args)
    feeder.join()
    return ran


def feed(fd, content):
    with os.fdopen(fd, "wb") as f:
        try:
            f.write(content)
        except BrokenPipeError:
            pass


def from_fifo(tool, fifo, content, delay):
    """Whoever writes opens the pipe first, and waits for a reader, or comes later."""
    feeder = threading.Timer(delay, lambda: feed(os.open(fifo, os.O_WRONLY), content))
    feeder.start()
    ran = tool.run("-J", fifo)
    feeder.join()
    return ran


# ---- damaged -------------------------------------------------------------------------------------


def cut_off(t, tool, ending):
    """A stream that ends early is a core that ends early. A static program's arenas come first in
    it, so that there is something to tell."""
    with workplace() as build:
        compiled(build, "many-threads", "-static")
        with plain(tool, build) as core:
            packed, seen = pack(ending, core.content), []
            for part in (0.02, 0.2, 0.5, 0.7, 0.9, 0.99):
                path = put(core.place, "cut", packed[: int(len(packed) * part)])
                seen.append(check_broken(t, tool, path, f"{part}"))
            path = put(core.place, "cut", packed[:-1])
            seen.append(check_broken(t, tool, path, "but for one byte"))
            t.check(1 in seen, f"no partial report: {seen}")
            t.note(f"statuses {seen}")


def damaged(t, tool, ending):
    """Bytes in the middle are others: what comes before them is read, what comes behind is not, and
    it is said. Where a format does not notice at once, its checksum does in the end."""
    with workplace() as build:
        compiled(build, "many-threads", "-static")
        with plain(tool, build) as core:
            packed, seen = pack(ending, core.content), []
            for part in (0.1, 0.5, 0.8, 0.95):
                content = bytearray(packed)
                at = int(len(content) * part)
                content[at:at + 8] = bytes(b ^ 0x5a for b in content[at:at + 8])
                path = put(core.place, "damaged", content)
                seen.append(check_broken(t, tool, path, f"damaged at {part}"))
            t.note(f"statuses {seen}")


def check_broken(t, tool, path, what):
    ran = tool.run("-J", path)
    if ran.status == 2:
        check_refused(t, ran, words=["cannot be unpacked|truncated|damaged|without any memory|elf"])
        return 2
    if t.equal(f"{what}: {ran}", ran.status, 1):
        report = ran.json()
        check_schema(t, report)
        check_adds_up(t, what, report)
        texts = [f["text"] for f in problems(report) if f["kind"] == "truncated_core"]
        t.check(any("compressed core file is damaged" in text for text in texts),
                f"{what}: not said: {texts}")
        t.check(not any("when it was written" in text for text in texts),
                f"{what}: whoever wrote it is blamed: {texts}")
    return ran.status


# ---- room ----------------------------------------------------------------------------------------


def in_small_room(tool, directory, size, *args):
    """Run it where TMPDIR is a file system of that size."""
    if not shutil.which("unshare"):
        raise Skip("needs unshare")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = f'mount -t tmpfs -o size={size} none "$0" || exit 125; exec "$@"'
    prefix = ["unshare", "--mount", *user, "sh", "-c", script, directory]
    confined = type(tool)(tool.build, prefix=prefix)
    ran = confined.run(*args, env={"TMPDIR": directory})
    if ran.status == 125 or (ran.status == 1 and b"unshare" in ran.err):
        raise Skip(f"no file systems can be mounted here: {ran}")
    return ran


def no_room(t, tool):
    with plain(tool) as core:
        room = os.path.join(core.place, "room")
        os.mkdir(room)
        path = put(core.place, "core.zst", pack("zst", core.content))
        ran = in_small_room(tool, room, "256k", "-J", path)
        check_refused(t, ran, words=["cannot unpack", "no space left", "tmpdir=", room])
        ran = in_small_room(tool, room, "512m", "-J", path)
        core.check_same(t, "with enough room", ran, path)
        ran = tool.run(path, env={"TMPDIR": os.path.join(core.place, "nowhere")})
        check_refused(t, ran, words=["no such file", "tmpdir="])
        ran = tool.run("-J", core.path, env={"TMPDIR": os.path.join(core.place, "nowhere")})
        core.check_same(t, "a plain core needs no room", ran, core.path)


def holes(t, tool):
    """4 GiB unpacked, of which hardly anything is data, fit where there is little room."""
    case = Case("untouched", "untouched", (3880,))
    with running(tool.build, case) as victim, workplace() as place:
        core = kernel_core(victim)
        if os.stat(core).st_blocks * 512 > os.path.getsize(core) // 10:
            raise Skip("the file system has no holes")
        packed, room = core + ".zst", os.path.join(place, "room")
        os.mkdir(room)
        if not shutil.which("zstd"):
            raise Skip("no zstd here")
        subprocess.run(["zstd", "-q", "-1", core, "-o", packed], check=True)
        ran = in_small_room(tool, room, "48m", "-J", packed)
        if good(t, ran):
            report, want = ran.json(), tool.run("-J", core).json()
            check_mallinfo2(t, report, victim)
            t.equal("totals", report["totals"], want["totals"])
            read, held = report["method"]["bytes_read"], os.stat(core).st_blocks * 512
            t.check(read < 2 * held + (4 << 20), f"{read >> 10} KiB read of {held >> 10} KiB")
            t.note(f"{os.path.getsize(core) >> 20} MiB from {os.path.getsize(packed) >> 10} KiB, "
                   f"{read >> 10} KiB read")


def bomb(t, tool):
    """A stream of zeros without an end that anybody would wait for: it is no core, soon."""
    with workplace() as place:
        done = subprocess.run("head -c 2G /dev/zero | zstd -q -c", shell=True, capture_output=True,
                              check=False)
        if done.returncode != 0 or not done.stdout:
            raise Skip("no zstd here")
        path = put(place, "zeros.zst", done.stdout)
        room = os.path.join(place, "room")
        os.mkdir(room)
        check_refused(t, in_small_room(tool, room, "1m", path), words=["is not an elf file"])


# ---- what is left behind -------------------------------------------------------------------------


def nothing_left(t, tool):
    """Neither beside the core nor in TMPDIR anything comes to be, not even for a moment."""
    with plain(tool) as core:
        room, there = os.path.join(core.place, "room"), os.path.join(core.place, "there")
        os.mkdir(room)
        os.mkdir(there)
        for ending in PACKERS:
            put(there, "core." + ending, pack(ending, core.content))
        put(there, "core", core.content)
        packed = put(there, "cut.zst", pack("zst", core.content)[:5000])
        before = state_of(there), state_of(room)
        for name in sorted(os.listdir(there)):
            path = os.path.join(there, name)
            for options in (["-J"], ["--chunks", "-f", "csv"], []):
                ran = tool.run(*options, path, env={"TMPDIR": room}, cwd=there)
                if path != packed:
                    good(t, ran)
        t.equal("state of the directories", (state_of(there), state_of(room)), before)


def state_of(directory):
    """Names, sizes and times; the directory's own time changes with every name that comes or goes."""
    names = sorted(os.listdir(directory))
    files = [os.stat(os.path.join(directory, name)) for name in names]
    return names, [(s.st_size, s.st_mtime_ns) for s in files], os.stat(directory).st_mtime_ns


# ---- all of them ---------------------------------------------------------------------------------


def run(suite, tool, _args):
    for ending in PACKERS:
        suite.run(f"packed/{ending}", formats, tool, ending)
        suite.run(f"packed/{ending}-cut-off", cut_off, tool, ending)
        suite.run(f"packed/{ending}-damaged", damaged, tool, ending)
    suite.run("packed/pipes", piped, tool)
    suite.run("packed/no-room", no_room, tool)
    suite.run("packed/holes", holes, tool)
    suite.run("packed/bomb", bomb, tool)
    suite.run("packed/nothing-left", nothing_left, tool)
