"""Cores as they come: of programs of all kinds, by kernels and emulators, filtered."""

import glob
import os
import shutil
import signal
import subprocess
from dataclasses import replace

import chunk_checks
from badinput import check_refused
from cases import Case
from elfcore import NT_FILE, hide_notes
from modes import check_core, good, kernel_core, running
from process import Victim, thread_states, workplace
from report_checks import check_mallinfo2, check_report
from suite import Skip

NOBODY = 65534
VICTIMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "victims")
MIXED = Case("mixed", "mixed", foreign=3)


def load(path):
    with open(path, "rb") as f:
        return bytearray(f.read())


def store(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


def problems(report):
    return [f for f in report["findings"] if f["kind"] != "note"]


def notes(report):
    return [f["text"] for f in report["findings"] if f["kind"] == "note"]


# ---- programs ------------------------------------------------------------------------------------


def compiled(place, victim, *flags, compiler=os.environ.get("CC", "cc")):
    """A victim made in another way; the build directory to name."""
    os.makedirs(os.path.join(place, "victims"), exist_ok=True)
    program = os.path.join(place, "victims", victim)
    sources = [os.path.join(VICTIMS, name + ".c") for name in (victim, "victim")]
    done = subprocess.run(
        [compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-builtin",
         "-pthread", *flags, "-o", program, *sources], capture_output=True, check=False)
    if done.returncode != 0:
        raise Skip(f"{compiler} {' '.join(flags)} does not work here")
    return place


def static(t, tool, flag, stripped):
    """Of a static program; also when its file is gone, or named wrongly."""
    with workplace() as place:
        build = compiled(place, "mixed", flag)
        program = os.path.join(place, "victims", "mixed")
        if stripped:
            subprocess.run(["strip", program], check=True)
        with running(build, MIXED) as victim:
            case, tids = as_it_runs(tool, victim), list(thread_states(victim.pid))
            core = kernel_core(victim)
            check_core(t, tool, case, victim, core, tids)
            ran = tool.run("-J", core, "/bin/true")
            if good(t, ran):
                check_note(t, ran.json(), "/bin/true is not the file in memory: its build-id is")
            moved = program + ".moved"
            os.rename(program, moved)
            ran = tool.run("-J", core, moved)
            if good(t, ran):
                t.equal("notes with the right file", notes(ran.json()), [])
                check_mallinfo2(t, ran.json(), victim)
            ran = tool.run("-J", core, "/bin/true")
            t.check(ran.status in (0, 1, 2), str(ran))
            if ran.status == 2:
                check_refused(t, ran, words=["/bin/true is not the file in memory"])
            else:
                check_note(t, ran.json(), "/bin/true is not the file in memory: its build-id is")


def as_it_runs(tool, victim):
    """The case of a static program, whose C library has some chunks of its own."""
    out = tool.run("--chunks", "-f", "csv", "-p", victim.pid).out
    held = [c.pointer for c in chunk_checks.parse(out) if c.state in ("in use", "mmapped")]
    return replace(MIXED, foreign=len(set(held) - set(victim.blocks())))


def check_note(t, report, text):
    t.check(any(text in note for note in notes(report)), f"no {text!r} in {notes(report)}")


def wrong_exe(t, tool):
    """A program that is linked to libc is read without its file; another one named is told."""
    with running(tool.build, MIXED) as victim, workplace() as place:
        core = kernel_core(victim)
        ran = tool.run("-J", core, "/bin/true")
        if good(t, ran):
            check_note(t, ran.json(), "/bin/true is not the file in memory: its build-id is")
            check_mallinfo2(t, ran.json(), victim)
        for exe in (victim.exe, shutil.copy(victim.exe, os.path.join(place, "another-name"))):
            ran = tool.run("-J", core, exe)
            if good(t, ran):
                t.equal(f"notes of {exe}", notes(ran.json()), [])
        ran = tool.run("-J", core, core)
        if good(t, ran):
            check_note(t, ran.json(), "is not an ELF program or library")


def wrong_exe_without_build_id(t, tool):
    """Then only its name tells; it may have been renamed, so that is a doubt, no more."""
    with running(tool.build, MIXED) as victim:
        set_filter(victim, 0x23)
        core = kernel_core(victim)
        ran = tool.run("-J", core, "/bin/true")
        if good(t, ran):
            check_note(t, ran.json(), "/bin/true may be another program than " + victim.exe)
        ran = tool.run("-J", core, victim.exe)
        if good(t, ran):
            t.equal("notes of the right one", notes(ran.json()), [])


def setuid(t, tool):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv")
    with workplace() as place:
        os.chmod(place, 0o755)
        os.mkdir(os.path.join(place, "victims"))
        program = shutil.copy(os.path.join(tool.build, "victims", "setuid"),
                              os.path.join(place, "victims", "setuid"))
        os.chmod(program, 0o4711)
        out = os.path.join(place, "out")
        os.mkdir(out)
        somebody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        try:
            victim = Victim(place, out, "setuid", prefix=somebody)
        except RuntimeError as why:
            raise Skip(f"no setuid programs here: {why}") from why
        with victim:
            tids = list(thread_states(victim.pid))
            core = kernel_core(victim)
            check_core(t, tool, Case("setuid", "setuid"), victim, core, tids)


def thousand_threads(t, tool):
    case = Case("threads", "many-threads", (1000, 20), foreign=1 + 2 * 1000)
    with running(tool.build, case) as victim:
        tids = list(thread_states(victim.pid))
        core = kernel_core(victim)
        report = check_core(t, tool, case, victim, core, tids)
        if report:
            t.note(f"{len(report['threads'])} threads, {len(report['arenas'])} arenas")


# ---- what is saved -------------------------------------------------------------------------------


def set_filter(victim, bits):
    with open(f"/proc/{victim.pid}/coredump_filter", "w", encoding="ascii") as f:
        f.write(hex(bits))


def filters(t, tool):
    """Whatever more is saved, or less of files, private memory is all that is needed."""
    for bits in (0x01, 0x11, 0x21, 0x33, 0x3f, 0x7f):
        with running(tool.build, MIXED) as victim:
            tids = list(thread_states(victim.pid))
            set_filter(victim, bits)
            check_core(t, tool, MIXED, victim, kernel_core(victim), tids)


def no_private_memory(t, tool):
    for bits in (0x00, 0x10, 0x22):
        with running(tool.build, MIXED) as victim:
            set_filter(victim, bits)
            check_refused(t, tool.run(kernel_core(victim)),
                          words=["without the program's private memory", "coredump_filter"])


def no_note(t, tool):
    """A kernel leaves the list of files out if it is too long; ld.so has one, too."""
    for flags in ((), ("-static",), ("-static-pie",)):
        with workplace() as place:
            build = compiled(place, "mixed", *flags)
            with running(build, MIXED) as victim:
                case, tids = as_it_runs(tool, victim), list(thread_states(victim.pid))
                core = kernel_core(victim)
                data = load(core)
                t.equal("notes of files", hide_notes(data, NT_FILE), 1)
                report = check_core(t, tool, case, victim, store(core, data), tids)
                if report and not flags:
                    with_note = os.path.basename(report["allocator"]["libc"]["path"])
                    t.equal("libc", with_note, "libc.so.6")


def qemu_core(victim):
    """What the emulator writes when its program aborts."""
    set_filter(victim, 0)  # of the emulator itself, which dumps core as well
    os.kill(victim.pid, signal.SIGABRT)
    victim.process.wait(timeout=120)
    [path] = glob.glob(os.path.join(victim.directory, "qemu_*.core"))
    return path


def emulated_static(t, tool):
    """The same of a static program, whose file is here, or is not, or is named."""
    compiler, emulator = "aarch64-linux-gnu-gcc", "qemu-aarch64"
    if not shutil.which(compiler) or not shutil.which(emulator):
        raise Skip(f"needs {compiler} and {emulator}")
    with workplace() as place:
        build = compiled(place, "mixed", "-static", compiler=compiler)
        program = os.path.join(place, "victims", "mixed")
        with running(build, MIXED, (emulator,)) as victim:
            core = qemu_core(victim)
            for exe in (None, program + ".moved"):
                if exe:
                    os.rename(program, exe)
                ran = tool.run("-J", core, *([exe] if exe else []))
                if good(t, ran):
                    check_report(t, ran.json(), False)
                    check_mallinfo2(t, ran.json(), victim)


# ---- all of them ---------------------------------------------------------------------------------


def run(suite, tool, _args):
    suite.run("cores/filters", filters, tool)
    suite.run("cores/no-private-memory", no_private_memory, tool)
    suite.run("cores/no-note-of-files", no_note, tool)
    suite.run("cores/emulated-static", emulated_static, tool)
    suite.run("cores/static", static, tool, "-static", False)
    suite.run("cores/static-stripped", static, tool, "-static", True)
    suite.run("cores/static-pie", static, tool, "-static-pie", False)
    suite.run("cores/setuid", setuid, tool)
    suite.run("cores/thousand-threads", thousand_threads, tool)
    suite.run("cores/wrong-exe", wrong_exe, tool)
    suite.run("cores/wrong-exe-without-build-id", wrong_exe_without_build_id, tool)
