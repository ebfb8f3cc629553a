"""Targets that cannot be reported: the right status, one line that says why, no harm."""

import os
import random
import shutil
import signal
import subprocess
import time

from cases import Case
from modes import kernel_core, running
from process import Victim, settled, thread_states, unlimited_core, wait_for, workplace
from programs import tracer_of
from suite import Skip
from tool import NOBODY, of_nobody

NOTHING, USAGE = 2, 64  # exit statuses
TARGET = Case("target", "every-other", (1000, 500))


def check_refused(t, ran, status=NOTHING, words=()):
    """Status, nothing on stdout, one line on stderr that names the cause; usage errors add argp's
    second line, "Try `heapwalk --help'..."."""
    t.equal(str(ran), ran.status, status)
    t.equal(f"{ran}: stdout", ran.out, b"")
    lines = ran.err.decode("utf-8").splitlines()
    if status == USAGE and len(lines) == 2:
        t.check(lines.pop().startswith("Try `heapwalk --help'"), "the second line of a usage error")
    t.equal(f"{ran}: lines on stderr", len(lines), 1)
    if lines:
        t.check(lines[0].startswith("heapwalk: "), f"no 'heapwalk: ' in front: {lines[0]}")
        t.check(len(lines[0]) > 25, f"says hardly anything: {lines[0]}")
        for alternatives in words:
            found = any(word in lines[0].lower() for word in alternatives.split("|"))
            t.check(found, f"no {alternatives!r} in: {lines[0]}")


# ---- processes -----------------------------------------------------------------------------------


def no_such_process(t, tool):
    gone = subprocess.Popen(["true"])
    gone.wait()
    check_refused(t, tool.run("-p", gone.pid), words=["no such process|no process"])


def kernel_thread(t, tool):
    try:
        with open("/proc/2/comm", encoding="utf-8") as f:
            name = f.read().strip()
    except OSError:
        name = ""
    if name != "kthreadd":
        raise Skip("no kernel thread is visible here")
    check_refused(t, tool.run("-p", 2), words=["kernel thread"])


def zombie(t, tool):
    child = subprocess.Popen(["true"])
    wait_for(lambda: [s for s, _ in thread_states(child.pid).values()] == ["Z"])
    check_refused(t, tool.run("-p", child.pid), words=["zombie|ended|exited|dead"])
    child.wait()


def other_user(t, tool):
    with running(tool.build, TARGET) as victim, workplace() as place:
        theirs = of_nobody(tool, place)
        before = thread_states(victim.pid)
        ran = theirs.run("-p", victim.pid)
        check_refused(t, ran, words=["belongs to|permission", "sudo|cap_sys"])
        t.equal("target afterwards", settled(victim.pid, before), before)


def root_without_the_capability(t, tool):
    """As in a container that was not given CAP_SYS_PTRACE."""
    bare = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"]
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv")
    contained = type(tool)(tool.build, prefix=bare)
    with running(tool.build, TARGET) as victim:
        ran = contained.run("-p", victim.pid)
        check_refused(t, ran, words=["capabilities that we lack", "--cap-add=sys_ptrace"])
        ran = contained.run("--no-stop", "-p", victim.pid)
        check_refused(t, ran, words=["capabilities that we lack"])
    sleeper = subprocess.Popen(["sleep", "60"], user=NOBODY, group=NOBODY, extra_groups=[])
    try:
        ran = contained.run("-p", sleeper.pid)
        check_refused(t, ran, words=["belongs to uid", "root here lacks cap_sys_ptrace"])
    finally:
        sleeper.kill()
        sleeper.wait()


def already_traced(t, tool):
    with running(tool.build, TARGET) as victim, tracer_of(victim.directory, victim.pid) as tracer:
        check_refused(t, tool.run("-p", victim.pid), words=["traced", str(tracer.pid)])


def ends_meanwhile(t, tool):
    """The target is killed at random moments: any honest status will do, but no hang, no crash."""
    rng = random.Random(3)
    seen = {}
    for i in range(40):
        with workplace() as place:
            with Victim(tool.build, place, "many-threads", (20, 200)) as victim:
                out_path = os.path.join(place, "out")
                with open(out_path, "wb") as out:
                    process = tool.start("-J", "-p", victim.pid, stdout=out,
                                         stderr=subprocess.PIPE)
                    time.sleep(rng.uniform(0, 0.12))
                    os.kill(victim.pid, signal.SIGKILL)
                    _, err = process.communicate(timeout=60)
                status = process.returncode
                seen[status] = seen.get(status, 0) + 1
                err = err.decode(errors="replace")
                t.check(status in (0, 1, 2), f"round {i}: status {status}: {err}")
                wrote = os.path.getsize(out_path) > 0
                t.check(wrote == (status < 2), f"round {i}: status {status}, output: {wrote}")
                if status == 2:
                    t.equal(f"round {i}: lines on stderr: {err}", len(err.splitlines()), 1)
    t.note("statuses " + ", ".join(f"{k}: {v}" for k, v in sorted(seen.items())))


def just_started(t, tool):
    """The dynamic linker waits for libc's file: that there is no glibc yet is not said to be the
    program's nature."""
    with workplace() as place:
        os.mkfifo(os.path.join(place, "libc.so.6"))
        with subprocess.Popen(["sleep", "60"], env={**os.environ, "LD_LIBRARY_PATH": place}) as child:
            try:
                wait_for(lambda: "S" in [s for s, _ in thread_states(child.pid).values()])
                ran = tool.run("-p", child.pid)
                check_refused(t, ran, words=["just being started", "try again", str(child.pid)])
            finally:
                child.kill()


def executes_another(t, tool):
    """Programs of a moment: what is said of them is that they were, whatever step has failed. Each step
    has a test of its own; here one round may be unlucky, as the moments come at random."""
    rng = random.Random(5)
    seen, wrong = {}, []
    for i in range(40):
        count = rng.randrange(20000)
        loop = f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); done"
        last = rng.choice(("exec sleep 60", "exec sh -c 'exec sleep 60'", "true"))
        with subprocess.Popen(["sh", "-c", f"{loop}; {last}"]) as child:
            time.sleep(rng.uniform(0, 0.01))
            ran = tool.run("-J", "-p", child.pid)
            child.kill()
        said = ran.err.decode(errors="replace")
        cause = [word for word in ("has ended", "another program", "just being started",
                                   "loading its libraries", "no process") if word in said]
        if (ran.status >= 2 and not cause) or (last != "true" and "has ended" in cause):
            wrong.append(f"round {i} ({last}): {said}")
        seen[cause[0] if cause else ran.status] = seen.get(cause[0] if cause else ran.status, 0) + 1
    t.note(", ".join(f"{k}: {v}" for k, v in sorted(seen.items(), key=str)))
    t.check(len(wrong) <= 1, "; ".join(wrong))


# ---- files ---------------------------------------------------------------------------------------


def not_a_core(t, tool):
    with workplace() as place:
        def file(name, content):
            path = os.path.join(place, name)
            with open(path, "wb") as f:
                f.write(content)
            return path

        fifo = os.path.join(place, "fifo")
        os.mkfifo(fifo)
        for path, words in [
            (file("text", b"What is all this?\n" * 500), ["core|elf"]),
            (file("empty", b""), ["empty|core"]),
            (file("magic", b"\x7fELF"), ["core|elf"]),
            (file("half", b"\x7fELF\x02\x01\x01" + bytes(30)), ["core"]),
            (place, ["directory|core"]),
            (tool.path, ["core"]),
            (os.path.join(place, "nothing"), ["no such file"]),
            (fifo, ["nobody writes"]),
            ("12345678", ["no such file", "heapwalk -p 12345678"]),
            ("/dev/zero", ["neither a file nor a pipe"]),
        ]:
            check_refused(t, tool.run(path, timeout=60), words=words)


def truncated(t, tool):
    """A core that ends too early: as much as there is, and the end is named."""
    with running(tool.build, TARGET) as victim:
        core = kernel_core(victim)
        with open(core, "rb") as f:
            data = f.read()
        seen = []
        for part in (0.00001, 0.0001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999):
            path = os.path.join(victim.directory, "cut")
            with open(path, "wb") as f:
                f.write(data[: max(64, int(len(data) * part))])
            seen.append(check_cut(t, tool, path, part))
        t.note("statuses " + " ".join(map(str, seen)))
        t.check(1 in seen, "not one truncated core gave a partial report")


def check_cut(t, tool, path, part):
    ran = tool.run("-J", path, timeout=60)
    if ran.status == 2:
        check_refused(t, ran, words=["truncated|ends before"])
        return 2
    t.equal(f"{part}: status", ran.status, 1)
    if ran.status in (0, 1):
        report = ran.json()
        t.equal(f"{part}: complete", report["complete"], False)
        kinds = {f["kind"] for f in report["findings"]}
        t.check("truncated_core" in kinds, f"{part}: truncated_core is not among {kinds}")
    return ran.status


# ---- programs that have no glibc heap ------------------------------------------------------------

# Sleeps for ever in pause(), system call 34 (64 bit) or 29 (32 bit), without any C library.
BARE = {
    "64": 'void _start(void) { for (;;) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(34)'
    ' : "rcx", "r11", "memory"); } }',
    "32": 'void _start(void) { for (;;) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(29)'
    ' : "memory"); } }',
}


def bare_program(bits, place):
    source, program = os.path.join(place, "bare.c"), os.path.join(place, "bare" + bits)
    with open(source, "w", encoding="utf-8") as f:
        f.write(BARE[bits])
    done = subprocess.run(
        [os.environ.get("CC", "cc"), f"-m{bits}", "-nostdlib", "-static", "-ffreestanding",
         "-fno-pic", "-no-pie", "-fno-stack-protector", "-o", program, source],
        capture_output=True, check=False)
    if done.returncode != 0:
        raise Skip(f"the compiler cannot make a bare {bits}-bit program")
    return program


class Bare:
    """A running bare program, quacking like a Victim."""

    def __init__(self, bits, place):
        self.directory = place
        self.process = subprocess.Popen([bare_program(bits, place)], cwd=place,
                                        preexec_fn=unlimited_core)
        self.pid = self.process.pid
        wait_for(lambda: [s for s, _ in thread_states(self.pid).values()] == ["S"])

    kernel_core = Victim.kernel_core


def foreign_program(t, tool, bits, words):
    with workplace() as place:
        bare = Bare(bits, place)
        try:
            before = thread_states(bare.pid)
            t.equal(f"a bare {bits}-bit program sleeps", [s for s, _ in before.values()], ["S"])
            check_refused(t, tool.run("-p", bare.pid), words=words)
            t.equal("target afterwards", settled(bare.pid, before), before)
            check_refused(t, tool.run(kernel_core(bare)), words=words)
        finally:
            bare.process.kill()
            bare.process.wait()


# ---- command lines -------------------------------------------------------------------------------


def usage(t, tool):
    with running(tool.build, TARGET) as victim:
        pid = str(victim.pid)
        before = thread_states(victim.pid)
        for args, words in [
            ([], ["pid|core|target"]),
            (["--no-such-option", "-p", pid], ["no-such-option"]),
            (["-Z", "-p", pid], ["z"]),
            (["-p"], ["argument"]),
            (["-p", pid, "core"], ["both|core|not"]),
            (["-p", "abc"], ["abc"]),
            (["-p", "12x"], ["12x"]),
            (["-p", ""], ["pid|number|empty"]),
            (["-p", "-5"], ["-5"]),
            (["-p", "0"], ["0"]),
            (["-p", "99999999999999999999"], ["99999999999999999999"]),
            (["-f", "nonsense", "-p", pid], ["nonsense", "json", "malloc_stats"]),
            (["--interval", "0", "-p", pid], ["0.01 to 31536000"]),
            (["--interval", "1e300", "-p", pid], ["0.01 to 31536000"]),
            (["--arena", "x", "-p", pid], ["x"]),
            (["--whatis", "zzz", "-p", pid], ["zzz"]),
            (["--color=sometimes", "-p", pid], ["sometimes"]),
            (["a", "b", "c"], ["c|too many|one"]),
            (["-o", "", "-p", pid], ["name of a file"]),
            (["--diff", "a", "-e", "b"], ["--exe is for cores"]),
        ]:
            check_refused(t, tool.run(*args), USAGE, words)
        t.equal("target afterwards", settled(victim.pid, before), before)


# ---- all of them ---------------------------------------------------------------------------------

def run(suite, tool, _args):
    suite.run("bad/no-such-process", no_such_process, tool)
    suite.run("bad/kernel-thread", kernel_thread, tool)
    suite.run("bad/zombie", zombie, tool)
    suite.run("bad/other-user", other_user, tool)
    suite.run("bad/root-without-the-capability", root_without_the_capability, tool)
    suite.run("bad/already-traced", already_traced, tool)
    suite.run("bad/ends-meanwhile", ends_meanwhile, tool)
    suite.run("bad/just-started", just_started, tool)
    suite.run("bad/executes-another", executes_another, tool)
    suite.run("bad/not-a-core", not_a_core, tool)
    suite.run("bad/truncated-core", truncated, tool)
    suite.run("bad/no-glibc", foreign_program, tool, "64", ["glibc|libc"])
    suite.run("bad/32-bit", foreign_program, tool, "32", ["32|64"])
    suite.run("bad/usage", usage, tool)
