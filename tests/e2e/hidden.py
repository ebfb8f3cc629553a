"""Where libc hides: its file moved, replaced or deleted, in another root, linked statically, or
there more than once. The right one is read, exactly, or it is said why not; never another file."""

import os
import shutil
import sys

import hide
from badinput import check_refused
from modes import check_same_text, good, kernel_core
from process import Victim, mappings, settled, thread_states, workplace
from programs import Program, compiled, compiled_victim, library
from report_checks import check_mallinfo2, check_report, check_schema
from suite import Skip
from tool import AS_NOBODY, of_nobody

LOADER = "/lib64/ld-linux-x86-64.so.2"
VICTIM, ARGS = "every-other", (2000, 500)


def libc_path():
    for mapping in mappings("self"):
        if os.path.basename(mapping.path).startswith(("libc.so.", "libc-2.")):
            return mapping.path
    raise Skip("this Python has no libc.so")


def another_version(path):
    """Put a libc of another build-id and version at `path`, as an upgrade does: a new file under
    the old name."""
    with open(path, "rb") as f:
        content = f.read()
    mine = bytes.fromhex(hide.build_id(path) or "")
    if not mine:
        raise Skip(f"{path} has no build-id")
    content = content.replace(mine, bytes(b ^ 0xff for b in mine))
    content = content.replace(b"release version 2.", b"release version 9.")
    with open(path + ".new", "wb") as f:
        f.write(content)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def script(place, text, shell="/bin/sh"):
    """A `victim` that is a script around the real one; the build directory to name."""
    path = os.path.join(place, "victims", "wrapped")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"#!{shell}\n" + text)
    os.chmod(path, 0o755)
    return place


def private_libc(tool, place, before="", after=""):
    """A victim's command line that makes it run with a copy of libc, and the path of that."""
    lib = os.path.join(place, "lib")
    os.makedirs(lib, exist_ok=True)
    copy = os.path.join(lib, "libc.so.6")
    shutil.copy(libc_path(), copy)
    program = os.path.join(tool.build, "victims", VICTIM)
    build = script(place, f'{before}exec {after}{LOADER} --library-path {lib} {program} "$@"\n')
    return build, copy


def wrapped(build, place, **kwargs):
    out = os.path.join(place, "out")
    os.mkdir(out)
    os.chmod(out, 0o777)
    return Victim(build, out, "wrapped", ARGS, **kwargs)


def check_exact(t, tool, target, victim, *options):
    """The report agrees with the victim to the byte."""
    ran = tool.run("-J", *options, *target)
    if not good(t, ran):
        return None
    report = ran.json()
    check_report(t, report, target[0] == "-p")
    check_mallinfo2(t, report, victim)
    ran = tool.run("-f", "malloc_info", *options, *target)
    if good(t, ran):
        check_same_text(t, "malloc_info", ran.out, victim.text("malloc_info.xml"))
    return report


def check_without_libc(t, tool, core, victim, *options):
    """Without libc's own file something may be missing; if so, it is said why."""
    ran = tool.run("-J", *options, core)
    if ran.status == 0:
        check_exact(t, tool, [core], victim, *options)
    elif ran.status == 1:
        kinds = {f["kind"] for f in ran.json()["findings"]}
        t.equal("findings", kinds, {"thread_cache", "note"})
        t.equal("system bytes", ran.json()["totals"]["system_bytes"], victim.mallinfo2()["arena"])
        t.check(b"--libc" in ran.err, f"no remedy: {ran}")
    else:
        check_refused(t, ran, words=["libc", "--libc"])


def check_version(t, report, place):
    """It was the libc in memory that was read."""
    if report:
        version = report["allocator"]["version"]
        t.check(version is None or version.startswith("2."), f"version {version}")
        t.check(report["allocator"]["libc"]["path"].startswith(place), "libc's path")


# ---- the file is gone, or another ----------------------------------------------------------------


def replaced(t, tool, how):
    """As root the very file that is mapped can be opened, whatever its name leads to."""
    with workplace() as place:
        build, copy = private_libc(tool, place)
        with wrapped(build, place) as victim:
            how(copy)
            before = thread_states(victim.pid)
            report = check_exact(t, tool, ["-p", victim.pid], victim)
            check_version(t, report, place)
            if report and os.geteuid() == 0:
                t.check(report["allocator"]["version"], "the file mapped was not found")
            t.equal("target afterwards", settled(victim.pid, before), before)


def replaced_core(t, tool):
    """From a core with the build-id in it: the new file at the old path is not used."""
    with workplace() as place:
        build, copy = private_libc(tool, place)
        with wrapped(build, place) as victim:
            core = kernel_core(victim)
            another_version(copy)
            check_without_libc(t, tool, core, victim)
            check_exact(t, tool, [core], victim, "--libc", libc_path())


def replaced_unprivileged(t, tool):
    """Nobody but root may open the mapped file: then the one of its name is there, with another
    build-id, and must not be used."""
    with workplace() as place:
        theirs = of_nobody(tool, place)
        build, copy = private_libc(tool, place, after=" ".join(AS_NOBODY) + " ")
        shutil.copy(os.path.join(tool.build, "victims", VICTIM), os.path.join(place, VICTIM))
        with open(os.path.join(place, "victims", "wrapped"), encoding="utf-8") as f:
            text = f.read()
        script(place, text.split("\n", 1)[1].replace(os.path.join(tool.build, "victims"), place))
        with wrapped(build, place) as victim:
            another_version(copy)
            ran = theirs.run("-J", "-p", victim.pid)
            if ran.status == 2:  # libc's debug symbols are not installed
                check_refused(t, ran, words=["build-id"])
            elif good(t, ran):
                check_mallinfo2(t, ran.json(), victim)
                check_version(t, ran.json(), place)


# ---- files named by the user ---------------------------------------------------------------------


def nameless_core(tool, place, libc_gone):
    """A victim with a libc of its own and a core of it that has no build-ids; its libc is moved to
    `libc_gone`."""
    # Without bit 4 the kernel leaves the first pages of mapped files out, and build-ids with them.
    build, copy = private_libc(tool, place, before="echo 0x23 > /proc/self/coredump_filter\n")
    victim = wrapped(build, place)
    try:
        core = kernel_core(victim)
        os.makedirs(os.path.dirname(libc_gone), exist_ok=True)
        os.rename(copy, libc_gone)
    except BaseException:
        victim.close()
        raise
    return victim, core, copy


def libc_option(t, tool):
    with workplace() as place:
        moved = os.path.join(place, "elsewhere", "libc.so.6")
        victim, core, _ = nameless_core(tool, place, moved)
        with victim:
            check_without_libc(t, tool, core, victim)
            check_version(t, check_exact(t, tool, [core], victim, "--libc", moved), place)
            check_refused(t, tool.run(core, "--libc", core + ".no"), words=["no such file"])
            check_refused(t, tool.run(core, "--libc", libc_path() + "/x"), words=["not a dir"])
            text = os.path.join(place, "victims", "wrapped")
            check_refused(t, tool.run(core, "--libc", text), words=["not an elf"])


def libc_option_other(t, tool):
    """A file of another build-id than that in memory is refused, not used."""
    with workplace() as place:
        build, copy = private_libc(tool, place)
        wrong = os.path.join(place, "wrong.so.6")
        shutil.copy(copy, wrong)
        another_version(wrong)
        with wrapped(build, place) as victim:
            pid = ["-p", victim.pid]
            check_exact(t, tool, pid, victim, "--libc", copy)
            check_exact(t, tool, pid, victim, "--libc", libc_path())
            check_refused(t, tool.run(*pid, "--libc", wrong), words=["build-id", "wrong.so.6"])


def sysroot_option(t, tool):
    with workplace() as place:
        root = os.path.join(place, "root")
        moved = root + os.path.join(place, "lib", "libc.so.6")
        victim, core, copy = nameless_core(tool, place, moved)
        with victim:
            check_without_libc(t, tool, core, victim)
            check_exact(t, tool, [core], victim, "--sysroot", root)
            # Links are followed inside of the sysroot: this one leads nowhere outside of it.
            os.rename(moved, os.path.join(root, "real.so"))
            os.symlink("/real.so", moved)
            check_exact(t, tool, [core], victim, "--sysroot", root)
            os.unlink(moved)
            os.symlink(libc_path(), moved)
            check_without_libc(t, tool, core, victim, "--sysroot", root)
            # What is not there is taken from its own place.
            shutil.copy(libc_path(), copy)
            check_exact(t, tool, [core], victim, "--sysroot", root)
            check_refused(t, tool.run(core, "--sysroot", root + ".no"), words=["no such"])


# ---- another root --------------------------------------------------------------------------------


PIVOT = """import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
must(libc.unshare(0x20000))  # CLONE_NEWNS
must(libc.mount(b"none", b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE
must(libc.mount(b"{root}", b"{root}", None, 0x1000, None))  # MS_BIND
must(libc.mount(b"{out}", b"{root}/out", None, 0x1000, None))
os.chdir("{root}")
must(libc.syscall(155, b".", b"."))  # pivot_root
must(libc.umount2(b".", 2))  # MNT_DETACH
os.execv("/victim", ["/victim", "/out", *sys.argv[2:]])
"""
CHROOT = """import os, sys
os.chroot("{root}")
os.chdir("/")
os.execv("/victim", ["/victim", "/out", *sys.argv[2:]])
"""


def other_root(t, tool, how):
    """A small system with a root directory of its own."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    with workplace() as place:
        root = os.path.join(place, "root")
        out = os.path.join(root, "out")
        for path in (LOADER, libc_path()):
            os.makedirs(root + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, root + path)
        shutil.copy(os.path.join(tool.build, "victims", VICTIM), os.path.join(root, "victim"))
        os.mkdir(out)
        build = script(place, how.format(root=root, out=out), shell=sys.executable)
        with Victim(build, out, "wrapped", ARGS) as victim:
            before = thread_states(victim.pid)
            report = check_exact(t, tool, ["-p", victim.pid], victim)
            if report:
                want = libc_path() if how is PIVOT else root + libc_path()
                t.equal("libc's path", report["allocator"]["libc"]["path"], want)
            t.equal("target afterwards", settled(victim.pid, before), before)


# ---- static --------------------------------------------------------------------------------------


def static(t, tool, flag):
    with workplace() as place:
        compiled_victim(place, VICTIM, flag)
        out = os.path.join(place, "out")
        os.mkdir(out)
        with Victim(place, out, VICTIM, ARGS) as victim:
            before = thread_states(victim.pid)
            check_exact(t, tool, ["-p", victim.pid], victim)
            t.equal("target afterwards", settled(victim.pid, before), before)


# ---- more than one -------------------------------------------------------------------------------


def check_copies(t, tool, program, used, in_report):
    """The other malloc is a note if it was not used, and makes the report partial if it was."""
    before = thread_states(program.pid)
    for target in (["-p", program.pid], None):
        ran = tool.run("-J", *(target or [kernel_core(program)]))
        t.equal(str(ran), ran.status, 1 if used else 0)
        if ran.status not in (0, 1):
            continue
        report = ran.json()
        check_schema(t, report)
        kinds = [f["kind"] for f in report["findings"]]
        t.equal("findings", kinds, ["other_malloc" if used else "note"])
        t.equal("others", [o["name"] for o in report["allocator"]["others"]], ["glibc"])
        mine = report["totals"]["in_use_bytes"] >= 3000 * 1000
        t.equal("the program's 3000 blocks are in the report", mine, in_report)
        if target:
            t.equal("target afterwards", settled(program.pid, before), before)


def second_libc(t, tool, blocks):
    with workplace() as place:
        command = [compiled(place, "second-libc"), str(blocks)]
        with Program(place, command) as program:
            check_copies(t, tool, program, blocks > 0, True)


def malloc_debug(t, tool, env):
    with workplace() as place:
        env = {"LD_PRELOAD": library("libc_malloc_debug.so.0", "libc6 2.34 or newer"), **env}
        with Program(place, [compiled(place, "holder")], env) as program:
            used = "MALLOC_CHECK_" in env
            check_copies(t, tool, program, used, not used)


def run(suite, tool, _args):
    suite.run("hidden/deleted", replaced, tool, os.unlink)
    suite.run("hidden/replaced", replaced, tool, another_version)
    suite.run("hidden/replaced-unprivileged", replaced_unprivileged, tool)
    suite.run("hidden/replaced-core", replaced_core, tool)
    suite.run("hidden/libc-option", libc_option, tool)
    suite.run("hidden/libc-option-other", libc_option_other, tool)
    suite.run("hidden/sysroot-option", sysroot_option, tool)
    suite.run("hidden/other-mounts", other_root, tool, PIVOT)
    suite.run("hidden/other-root", other_root, tool, CHROOT)
    suite.run("hidden/static", static, tool, "-static")
    suite.run("hidden/static-pie", static, tool, "-static-pie")
    suite.run("hidden/second-libc-unused", second_libc, tool, 0)
    suite.run("hidden/second-libc", second_libc, tool, 500)
    suite.run("hidden/malloc-debug-idle", malloc_debug, tool, {})
    suite.run("hidden/malloc-debug", malloc_debug, tool, {"MALLOC_CHECK_": "3"})
