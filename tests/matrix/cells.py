"""The cells of one libc and one victim: live, from a core by gdb, from a core by the kernel; each
with the libc's debug file, without, and for cores with the debug file alone, or no file at all. For
some victims also with each way of finding malloc's roots alone: see finders.py."""

import os
import time
import traceback
from dataclasses import dataclass, field, replace

from expect import GUARDS, is_extra, variants_of
from finders import Finder, check_alone, finders_of
from libcs import DETACHED, HIDDEN, SYMBOLS
from machines import CORE, GCORE, LIVE, QEMU
from modes import check_core, check_live, gcore, kernel_core, running
from oracle_checks import check_oracle
from process import thread_states
from suite import Skip, Test
from tool import Tool

import hide
import qemucore

FROM_FILES = ("symtab", "dwarf")  # origins that need symbols or debug information

OK, WRONG, PARTIAL, REFUSED, SKIPPED = "ok", "wrong", "partial", "refused", "skip"
EXCUSED = "excused"  # not all could be read, as is known of such cores, and heapwalk said so
# What heapwalk owns up to is not as bad as what it gets wrong.
HONEST = ((PARTIAL, ": status 1, stderr: heapwalk: "), (REFUSED, ": status 2, stderr: heapwalk: "))


@dataclass
class Cell:
    libc: str
    case: str
    variant: str
    mode: str
    finder: Finder = None
    outcome: str = OK
    failures: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    seconds: float = 0.0

    @property
    def name(self):
        words = (self.libc, self.case, self.variant, self.mode, self.finder and self.finder.name)
        return "/".join(word for word in words if word)

    def judge(self):
        if self.failures:
            honest = [outcome for outcome, sign in HONEST if all(sign in f for f in self.failures)]
            self.outcome = honest[0] if honest else WRONG


def run_cell(cell, function, *args):
    """Run function(test, *args) as this cell."""
    test, start = Test(cell.name), time.monotonic()
    try:
        function(test, *args)
    except Skip as reason:
        cell.outcome, cell.notes = SKIPPED, [str(reason)]
        return cell
    except Exception:  # a broken cell must not hide the others
        test.failures.append("exception in the test:\n" + traceback.format_exc())
    cell.seconds = time.monotonic() - start
    cell.failures, cell.notes = test.failures, test.notes
    cell.judge()
    return cell


def check_sources(t, libc, variant, report):
    """Found in the way that this cell is about, and no other."""
    if report is None:
        return
    allocator = report["allocator"]
    roots, layout = allocator["roots_source"], allocator["layout_source"]
    symbols = variant in (SYMBOLS, DETACHED)
    if symbols:
        t.equal("roots_source", roots, "symtab")
    else:
        t.check(roots not in FROM_FILES, f"roots_source is {roots}, though nothing has symbols")
    if symbols and not libc.static:
        t.equal("layout_source", layout, "dwarf")
    else:
        t.check(layout not in FROM_FILES, f"layout_source is {layout}, though there is no DWARF")
    check_version(t, libc, allocator["version"], exact=variant not in HIDDEN)


def check_version(t, libc, said, exact):
    """A core alone may leave it open: a span such as "2.35 to 2.41", "2.43 or newer", or nothing."""
    if not exact and said and said.endswith(" or newer"):
        oldest = tuple(map(int, said.split()[0].split(".")))
        t.check(libc.version >= oldest, f"allocator.version is {said}")
    elif exact or (said and " to " not in said):
        t.equal("allocator.version", said, ".".join(map(str, libc.version)))
    elif said:
        first, last = (tuple(int(n) for n in v.split(".")) for v in said.split(" to "))
        t.check(first <= libc.version <= last, f"version {said}, but it is {libc.version}")
        t.note(f"glibc {said}")
    else:
        t.note("glibc of unknown version")


def tool_of(build, libc, variant, mode):
    hidden = variant in HIDDEN
    options = libc.options(variant in (SYMBOLS, DETACHED), mode != LIVE and not hidden)
    return Tool(build, options,
                hide.command([libc.root, libc.build], user=False) if hidden else ())


def modes_of(libc, case):
    """The victims that are run under one libc only are about the heap, not about kinds of cores."""
    return [mode for mode in libc.machine.modes if mode not in (GCORE, QEMU) or not is_extra(case)]


def cells_of(libc, case):
    cells = [Cell(libc.name, case.name, variant, mode)
             for mode in modes_of(libc, case) for variant in variants_of(libc, case)
             if mode not in (LIVE, QEMU) or variant not in HIDDEN]
    cells += [Cell(libc.name, case.name, finder.variant, mode, finder)
              for mode in libc.machine.modes if mode in (LIVE, CORE)
              for finder in finders_of(libc, case, mode)]
    return cells


def live(t, tool, libc, variant, case, victim):
    check_sources(t, libc, variant, check_live(t, tool, case, victim))


def from_core(t, tool, libc, variant, case, victim, core, tids):
    check_sources(t, libc, variant, check_core(t, tool, case, victim, core, tids))


def check_lost_stacks(t, tool, core):
    """Since glibc 2.42, on kernels that can, madvise() makes the guard pages of stacks; gdb's gcore
    then cannot read a stack as a whole and saves zeros, also where the thread-local variables were.
    True if the report says so, which is all that can be asked of it."""
    ran = tool.run("-J", core)
    if ran.status != 1:
        return False
    report = ran.json()
    kinds = [f["kind"] for f in report["findings"] if f["kind"] != "note"]
    lost = [row for row in report["threads"] if row["tcache_bytes"] is None]
    t.check(lost, "partial, but no thread lacks its tcache")
    t.equal("findings", kinds, ["thread_cache"] * len(lost))
    t.equal("unaccounted_bytes", report["totals"]["unaccounted_bytes"], 0)
    t.note(f"stacks lost by gcore: {len(lost)}")
    return True


def why_not(libc, variant, can_hide):
    """Why this variant cannot be had here, or None."""
    if can_hide or variant == SYMBOLS:
        return None
    if variant in HIDDEN:
        return "files cannot be hidden here: it takes root, or user namespaces"
    if not libc.static and hide.has_system_debug(libc.libraries()[-1]):
        return "the system's own debug file of this libc cannot be hidden here"
    return None


class Job:
    """All cells of one libc and one case that are wanted."""

    def __init__(self, build, libc, case, can_hide, wants):
        self.build, self.libc, self.case = build, libc, case
        self.can_hide = can_hide
        self.cells = [cell for cell in cells_of(libc, case) if wants(cell.name)]

    def run(self):
        """The finished cells; the first of them is the oracle's."""
        if not self.cells:
            return []
        oracle = Cell(self.libc.name, self.case.name, "", "oracle")
        try:
            prefix, env = self.libc.command(self.case)
            with running(self.libc.build, replace(self.case, env=env), prefix) as victim:
                tids = list(thread_states(victim.pid))
                victim.exe = self.libc.exe_of(victim.exe)
                return [run_cell(oracle, check_oracle, victim), *self.of_victim(victim, tids)]
        except Exception:
            oracle.failures.append("no victim:\n" + traceback.format_exc())
            oracle.judge()
            for cell in self.cells:
                cell.failures = ["no victim"]
                cell.judge()
            return [oracle, *self.cells]

    def of_victim(self, victim, tids):
        for mode, dump in self.dumps():
            cells = [cell for cell in self.cells if cell.mode == mode]
            core, trouble = None, None
            if cells and dump:
                core, trouble = self.dumped(dump, victim)
            if core and QEMU in self.libc.machine.modes:
                tids = qemucore.tids(core)  # the emulator has threads of its own
            for cell in cells:
                yield run_cell(cell, self.one, cell, victim, tids, core, trouble)
            if core and mode != QEMU:
                os.unlink(core)

    def dumps(self):
        if QEMU in self.libc.machine.modes:
            return (QEMU, qemucore.qemu_core), (CORE, qemucore.kernel_core)
        return (LIVE, None), (GCORE, gcore), (CORE, kernel_core)

    @staticmethod
    def dumped(dump, victim):
        """(path of the core, None) or (None, the exception)."""
        try:
            return dump(victim), None
        except Exception as why:
            return None, why

    def reference(self, cell):
        """heapwalk with the symbols of this libc, if it can be had."""
        if SYMBOLS not in self.libc.variants:
            return None
        return tool_of(self.build, self.libc, SYMBOLS, cell.mode)

    def excused(self, t, cell, tool, core):
        """True of a core that has not all it takes, if the report says so."""
        lossy = self.case.name == GUARDS and cell.mode == GCORE
        return lossy and check_lost_stacks(t, tool, core)

    def one(self, t, cell, victim, tids, core, trouble):
        if trouble:
            raise trouble
        if why := why_not(self.libc, cell.variant, self.can_hide):
            raise Skip(why)
        tool = tool_of(self.build, self.libc, cell.variant, cell.mode)
        common = (tool, self.libc, cell.variant, self.case, victim)
        if cell.finder:
            target = [core] if core else ["-p", victim.pid]
            check_alone(t, tool, self.reference(cell), target, cell.finder, self.libc,
                        victim, tids)
        elif cell.mode == LIVE:
            live(t, *common)
        elif self.excused(t, cell, tool, core):
            cell.outcome = EXCUSED
        else:
            from_core(t, *common, core, tids)
