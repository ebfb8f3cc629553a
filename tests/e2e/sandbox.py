"""The sandbox: all that heapwalk does works in it, and what it has no business to do is its end."""

import errno
import os
import resource
import shutil
import signal
import subprocess

from busy import BUSY
from cases import Case
from harmless import Ticker
from modes import gcore, good, running
from process import Victim, settled, thread_states, untraced, wait_for, workplace
from programs import compiled
from snapshot import children, keepers
from suite import Skip
from text_checks import check_text
from tool import own_tool, under_strace

TARGET = Case("target", "many-threads", (12, 100))
PINS = Case("pins", "pins", ("main",))
MODES = {"stopped": [], "running": ["--no-stop"], "snapshot": ["--snapshot"], "core": []}

# What is tried, and the system call that it ends with; and what is not the end, with its errno.
DEADLY = {
    "execve": "execve", "execveat": "execveat", "fork": "clone", "socket": "socket",
    "socketpair": "socketpair", "open-write": "openat", "open-create": "openat",
    "open-truncate": "openat", "open-unnamed": "openat", "unlink": "unlink", "chmod": "chmod",
    "ptrace-poke": "ptrace", "ptrace-setregset": "ptrace",
    "process_vm_writev": "process_vm_writev", "kill": "kill", "tgkill": "tgkill",
    "priority-other": "sched_setscheduler", "round-robin": "sched_setscheduler",
    "nice-other": "setpriority", "nice-all": "setpriority",
    "tiocsti": "ioctl", "unshare": "unshare", "setuid": "setuid",
}
REFUSED = {"map-code": errno.EACCES, "make-code": errno.EACCES, "openat2": errno.ENOSYS,
           "clone3": errno.ENOSYS}
FINE = ("raise", "thread")
# What belongs to some modes only, and the system call that it ends with in the others.
OF_MODES = {
    "ptrace-attach": ("ptrace", ["stopped"]),
    "priority": ("sched_setscheduler", ["stopped", "snapshot"]),
    "process_vm_readv": ("process_vm_readv", ["stopped", "running", "snapshot"]),
}
# Without sandbox, as root or not; what else they come to does not matter.
ANYWAY = {"execve": errno.ENOENT, "socket": 0, "open-write": 0, "ptrace-poke": errno.ESRCH,
          "process_vm_writev": 0, "kill": 0, "map-code": 0}


def needs_sandbox(tool):
    """Skip where there is none to be had."""
    with running(tool.build, TARGET) as victim:
        ran = tool.run("-J", "-v", "-p", victim.pid)
    if ran.status == 0 and ran.json()["method"]["sandbox"] is None:
        why = [line for line in ran.err.decode().splitlines() if "without sandbox" in line]
        raise Skip(why[0] if why else "no sandbox, and no reason")


class Intruder:
    """heapwalk with code in it that tries things."""

    def __init__(self, tool, place, victim):
        self.tool, self.pid = tool, victim.pid
        self.library = compiled(place, "forbidden", "-shared", "-fPIC", "-Wno-deprecated",
                                name="forbidden.so")
        self.file = os.path.join(place, "precious")
        with open(self.file, "w", encoding="utf-8") as f:
            f.write("precious")

    def tries(self, call, *args, **more):
        env = {"LD_PRELOAD": self.library, "FORBIDDEN_CALL": call, "FORBIDDEN_FILE": self.file,
               "FORBIDDEN_PID": str(self.pid), **more}
        return self.tool.run(*args, env=env, preexec_fn=no_core)

    def unharmed(self):
        with open(self.file, encoding="utf-8") as f:
            return f.read() == "precious" and not os.stat(self.file).st_mode & 0o111


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_the_end(t, what, ran, name):
    t.equal(f"{what}: {ran}", ran.status, 2)
    t.equal(f"{what}: stdout", ran.out, b"")
    lines = ran.err.decode().splitlines()
    ok = len(lines) == 1 and f"forbade the system call {name}, " in lines[0]
    t.check(ok and "--no-sandbox" in lines[0], f"{what}: it says {lines}")


def came_to(t, what, ran, call, code):
    """It was tried, and heapwalk lived on."""
    t.equal(f"{what}: {ran}", ran.status, 0)
    t.check(f"{call}: {code}\n" in ran.err.decode(), f"{what}: {ran}, want errno {code}")


def forbidden(t, tool):
    """Each in a run of its own, while the target stands still."""
    needs_sandbox(tool)
    with workplace() as place, running(tool.build, TARGET) as victim:
        before, intruder = thread_states(victim.pid), Intruder(tool, place, victim)
        pid = ["-J", "-p", victim.pid]
        for call, name in DEADLY.items():
            is_the_end(t, call, intruder.tries(call, *pid), name)
            t.equal(f"{call}: target", settled(victim.pid, before), before)
        for call, code in REFUSED.items():
            came_to(t, call, intruder.tries(call, *pid), call, code)
        for call in FINE:
            came_to(t, call, intruder.tries(call, *pid), call, 0)
        ran = intruder.tries("32-bit", *pid)  # which has no name here
        t.equal(f"32-bit: {ran}", ran.status, -signal.SIGSYS)
        t.equal("target", settled(victim.pid, before), before)
        t.check(intruder.unharmed(), "the file has changed")
        t.equal("files", sorted(os.listdir(place)), ["forbidden.so", "precious"])


def in_modes(t, tool):
    """In each mode only what it needs; and wherever it ends, the target is let go."""
    needs_sandbox(tool)
    with workplace() as place, running(tool.build, TARGET) as victim:
        tool = own_tool(tool, place)
        before, intruder = thread_states(victim.pid), Intruder(tool, place, victim)
        core = gcore(victim)
        for mode, options in MODES.items():
            target = [*options, "-J", *([core] if mode == "core" else ["-p", victim.pid])]
            for call in ("socket", "open-write", "kill"):
                is_the_end(t, f"{mode}: {call}", intruder.tries(call, *target), DEADLY[call])
            for call, (name, modes) in OF_MODES.items():
                ran = intruder.tries(call, *target)
                if mode not in modes:
                    is_the_end(t, f"{mode}: {call}", ran, name)
                else:
                    t.check(f"{call}: " in ran.err.decode(), f"{mode}: {call}: {ran}")
            t.equal(f"{mode}: target", settled(victim.pid, before), before)
            t.check(wait_for(lambda: not keepers(tool)), f"{mode}: a keeper is left")


def by_other_threads(t, tool):
    """The thread that reads ahead holds back signals, but it is not silent."""
    needs_sandbox(tool)
    if os.cpu_count() < 2:
        raise Skip("one processor: no thread reads ahead")
    with workplace() as place, Ticker(tool.build, place) as ticker:
        tool = own_tool(tool, place)
        intruder = Intruder(tool, place, ticker)
        for options in ([], ["--snapshot"]):
            ran = intruder.tries("socket", *options, "-J", "-p", ticker.pid, FORBIDDEN_THREAD="1")
            is_the_end(t, f"{options}", ran, "socket")
            t.check(wait_for(ticker.untraced, 5), f"{options}: still traced")
            t.check(ticker.all_count(), f"{options}: some thread does not count any more")
        t.check(wait_for(lambda: not keepers(tool)), "a keeper is left")


def several_stops(t, tool):
    """To find a quiet moment it is stopped some times: all in the sandbox, and by one keeper, as no
    other can be started any more."""
    needs_sandbox(tool)
    with workplace() as place, running(tool.build, BUSY) as victim:
        tool = own_tool(tool, place)
        for options in ([], ["--snapshot"]):
            stops = []
            while len(stops) < 30 and max(stops, default=0) < 2:
                ran = tool.run("-J", *options, "-p", victim.pid)
                if not t.check(ran.status in (0, 1), str(ran)):
                    return
                method = ran.json()["method"]
                t.equal(f"{options}: sandbox", method["sandbox"], "seccomp")
                stops.append(method["stops"])
            t.check(max(stops) > 1, f"{options}: stops {stops}")
        t.check(wait_for(lambda: untraced(victim.pid)), f"still traced: {victim.pid}")
        t.equal("children", children(victim.pid), [])
        t.check(wait_for(lambda: not keepers(tool)), "a keeper is left")


def output_file(t, tool):
    """With -o files may be removed, but not opened; the unfinished one does not stay."""
    needs_sandbox(tool)
    with workplace() as place, workplace() as there, running(tool.build, TARGET) as victim:
        intruder = Intruder(tool, place, victim)
        path = os.path.join(there, "r.json")
        for call in ("execve", "open-write", "chmod"):
            ran = intruder.tries(call, "-o", path, "-p", victim.pid)
            is_the_end(t, call, ran, DEADLY[call])
            t.equal(f"{call}: files", os.listdir(there), [])
        fifo = os.path.join(there, "fifo")  # it is there already: nothing is renamed
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        is_the_end(t, "fifo", intruder.tries("unlink", "-o", fifo, "-p", victim.pid), "unlink")
        os.close(reader)


def without(t, tool):
    needs_sandbox(tool)
    with workplace() as place, running(tool.build, TARGET) as victim:
        intruder = Intruder(tool, place, victim)
        for call, code in ANYWAY.items():
            ran = intruder.tries(call, "--no-sandbox", "-J", "-p", victim.pid, FORBIDDEN_ANYWAY="1")
            came_to(t, call, ran, call, code)
            if ran.status == 0:
                t.equal("sandbox", ran.json()["method"]["sandbox"], None)


def told(t, tool):
    """The report says it, as JSON and in words."""
    needs_sandbox(tool)
    with running(tool.build, TARGET) as victim:
        core = gcore(victim)
        for mode, options in MODES.items():
            target = [*options, *([core] if mode == "core" else ["-p", victim.pid])]
            for more, want in ([], "seccomp"), (["--no-sandbox"], None):
                if good(t, ran := tool.run(*more, "-J", *target)):
                    t.equal(f"{mode} {more}", ran.json()["method"]["sandbox"], want)
                if good(t, ran := tool.run(*more, *target)):
                    check_text(t, ran.out)
                    t.equal(f"{mode} {more}: in words", b"sandboxed" in ran.out, bool(want))


def cannot_be_had(t, tool):
    """An old kernel, a container: a report all the same, and why, to those who ask."""
    needs_sandbox(tool)
    forbid = ("-qq", "-e", "inject=seccomp,prctl:error=EINVAL")
    with running(tool.build, TARGET) as victim:
        ran = under_strace(tool, "/dev/null", *forbid).run("-J", "-v", "-p", victim.pid)
        if good(t, ran):
            t.check(b"without sandbox: the kernel refuses" in ran.err, str(ran))
            t.equal("sandbox", ran.json()["method"]["sandbox"], None)


def filters(pid):
    """{thread: (Seccomp, NoNewPrivs)} of a process."""
    found = {}
    for tid in thread_states(pid):
        try:
            with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii") as f:
                lines = dict(line.split(":", 1) for line in f.read().splitlines())
            found[tid] = (int(lines["Seccomp"]), int(lines["NoNewPrivs"]))
        except OSError:
            pass
    return found


def seen(t, tool):
    """From outside: each thread is in it while the heap is read; a keeper of a snapshot is not."""
    needs_sandbox(tool)
    with workplace() as place, Ticker(tool.build, place) as ticker:
        tool = own_tool(tool, place)
        for options in ([], ["--snapshot"]):
            for _ in range(20):
                process = tool.start("-J", *options, "-p", ticker.pid)
                wait_for(lambda: (keepers(tool) if options else not ticker.untraced())
                         or process.poll() is not None, 30)
                if options:
                    wait_for(lambda: 2 in [s for s, _ in filters(process.pid).values()]
                             or process.poll() is not None, 30)
                keeping = {tid: f for k in keepers(tool) for tid, f in filters(k).items()}
                found = filters(process.pid)
                reading = not ticker.untraced() if not options else process.poll() is None
                process.wait(timeout=60)
                if reading and found:
                    break
            if t.check(reading and found, f"{options}: it was never seen"):
                t.equal(f"{options}: threads", set(found.values()), {(2, 1)})
                t.check(2 not in [s for s, _ in keeping.values()], f"keeper: {keeping}")
        t.check(ticker.all_count(), "it does not run on")


def big_files(t, tool):
    """ulimit -f: a message, no signal, and nothing is left."""
    def limited():
        no_core()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    with workplace() as place, running(tool.build, TARGET) as victim:
        path = os.path.join(place, "r.json")
        for options in (["-J", "-o", path], ["--chunks", "-f", "csv", "-o", path],
                        ["--no-sandbox", "-J", "-o", path]):
            ran = tool.run(*options, "-p", victim.pid, preexec_fn=limited)
            t.equal(str(ran), ran.status, 2)
            t.check(b"File too large" in ran.err, str(ran))
            t.equal("files", os.listdir(place), [])


def late_symbols(t, tool):
    """The names of pins come from files that are opened in the sandbox, below a root of their own,
    and by ways that lead through symbolic links."""
    with workplace() as place:
        there, root = os.path.join(place, "there"), os.path.join(place, "root")
        os.makedirs(os.path.join(there, "victims"))
        shutil.copy2(os.path.join(tool.build, "victims", "pins"), os.path.join(there, "victims"))
        with workplace() as directory, Victim(there, directory, PINS.victim, PINS.args) as victim:
            core = gcore(victim)
            shutil.copy2(core, os.path.join(place, "core"))
        os.makedirs(root + place)
        os.rename(there, os.path.join(root, "elsewhere"))
        os.symlink("/elsewhere", root + there)
        target = ["--holes", 5, "-J", os.path.join(place, "core")]
        inside = tool.run("--sysroot", root, *target)
        outside = tool.run("--no-sandbox", "--sysroot", root, *target)
        t.equal(f"status: {inside}", inside.status, outside.status)
        t.equal("holes", inside.json()["holes"], outside.json()["holes"])
        t.check(b"pinned_callback" in inside.out, "no name of a pin")
        t.check(b"pinned_callback" not in tool.run(*target).out, "it was found without root")


def locale(t, tool):
    """A character set that has to be loaded."""
    if not shutil.which("localedef"):
        raise Skip("no localedef here")
    with workplace() as place, running(tool.build, TARGET) as victim:
        subprocess.run(["localedef", "-i", "POSIX", "-f", "KOI8-R", os.path.join(place, "odd")],
                       capture_output=True, check=False)  # warns, and returns 1 for that
        if not os.path.exists(os.path.join(place, "odd", "LC_CTYPE")):
            raise Skip("localedef makes no locale of KOI8-R")
        ran = tool.run("--whatis", "0", "-p", victim.pid, env={"LC_ALL": "odd", "LOCPATH": place})
        good(t, ran)
        good(t, tool.run("-p", victim.pid, env={"LC_ALL": "odd", "LOCPATH": place}))


def run(suite, tool, _args):
    suite.run("sandbox/forbidden", forbidden, tool)
    suite.run("sandbox/in-modes", in_modes, tool)
    suite.run("sandbox/by-other-threads", by_other_threads, tool)
    suite.run("sandbox/several-stops", several_stops, tool)
    suite.run("sandbox/output-file", output_file, tool)
    suite.run("sandbox/without", without, tool)
    suite.run("sandbox/told", told, tool)
    suite.run("sandbox/cannot-be-had", cannot_be_had, tool)
    suite.run("sandbox/seen", seen, tool)
    suite.run("sandbox/big-files", big_files, tool)
    suite.run("sandbox/late-symbols", late_symbols, tool)
    suite.run("sandbox/locale", locale, tool)
