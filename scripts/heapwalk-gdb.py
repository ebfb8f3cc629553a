# heapwalk in gdb: what the glibc heap of the process or core at hand holds.
#
#   (gdb) source /path/to/heapwalk-gdb.py
#   (gdb) help heapwalk
#
# A thin front end: it runs the heapwalk command on the process that gdb holds stopped, or on the core that
# gdb has open, and shows what that says. All figures are those of the command. gdb 9 and newer.
#
#   HeapwalkTarget    which process or core, as arguments of the command; or why there is none
#   HeapwalkRun       one run of the command: its output while it comes, its end, its death by Ctrl-C
#   HeapwalkAnswers   what the command says in JSON, kept until the process has run on
#   HeapwalkText      sizes, tables, sections and colours as the command writes them
#   HeapwalkMidst     which threads stand in the middle of malloc
#
# then the commands, the settings and the functions. gdb runs all scripts that are sourced in one namespace:
# hence these names. Other modules are imported where they are first needed, for where this file is installed
# every gdb reads it as it starts.

import functools
import os
import re
import sys

import gdb


class HeapwalkError(gdb.GdbError):
    """Says who says it: it may end a condition of a breakpoint."""

    def __init__(self, text):
        super().__init__(f"heapwalk: {text}")


class HeapwalkTarget:
    """What gdb looks at."""

    REMEDY_OF_REMOTE = (
        "run heapwalk on the machine where it runs, or have gdb write a core of it (generate-core-file "
        "FILE) and look at that (core-file FILE)")

    @staticmethod
    def connection(inferior):
        """"native", "core", "remote", ...; "" where nothing is connected."""
        if hasattr(inferior, "connection"):  # gdb 11
            return inferior.connection.type if inferior.connection else ""
        stack = gdb.execute("maintenance print target-stack", False, True)
        names = re.findall(r"^\s*- (\S+) \(", stack, re.M)
        names = [n for n in names if n not in ("exec", "None", "multi-thread")
                 and not n.startswith("record")]
        return names[0] if names else ""

    @staticmethod
    def files():
        """The core and the executable that gdb reads, in the words of `info target`: gdb's own symbol file
        may be another file, and only the newest tell scripts the name of their core."""
        text = gdb.execute("info target", False, True)
        found = re.findall(r"^Local (core dump|exec) file:\s+[`'‘](.+)['’],\s+file type ", text, re.M)
        files = {kind: re.sub("^target:", "", name) for kind, name in found}
        return files.get("core dump"), files.get("exec")

    @staticmethod
    def core():
        core, exe = HeapwalkTarget.files()
        if not core:
            raise HeapwalkError("gdb does not say which core this is")
        # Behind a sysroot of this machine lie the libraries of the machine that the core is from.
        root = gdb.parameter("sysroot") or ""
        root = ["--sysroot", root] if root.startswith("/") and root.strip("/") else []
        return [*root, "--", core, *([exe] if exe else [])]

    @staticmethod
    def threads(pid):
        """{thread id: (letter of its state, how often it was scheduled)}, by the kernel's account. gdb's own
        is for the user: while it looks at a condition, all threads run for him, and no event tells of it."""
        threads = {}
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8", errors="replace") as f:
                    text = f.read()
                state = re.search(r"^State:\s+(\S)", text, re.M).group(1)
                threads[int(tid)] = (state, sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", text))))
        except (OSError, AttributeError):
            pass  # the thread ends
        return threads

    @staticmethod
    def memory():
        """Open files to pass on: who holds a process may read it where its children may not (Yama)."""
        inferior = gdb.selected_inferior()
        try:
            if HeapwalkTarget.connection(inferior) == "native":
                return (os.open(f"/proc/{inferior.pid}/mem", os.O_RDONLY),)
        except OSError:
            pass  # then the command will say what there is to be said
        return ()

    @staticmethod
    def moment():
        """Another one whenever the process has run, or the core is another file."""
        inferior = gdb.selected_inferior()
        if HeapwalkTarget.connection(inferior) != "core":
            return sum(switches for _, switches in HeapwalkTarget.threads(inferior.pid).values())
        try:
            core = os.stat(HeapwalkTarget.files()[0])
            return core.st_dev, core.st_ino, core.st_mtime_ns
        except OSError:
            return 0  # the command will say so

    @staticmethod
    def process(inferior, may_move):
        thread = gdb.selected_thread()
        threads = HeapwalkTarget.threads(inferior.pid)
        moving = [tid for tid, (state, _) in threads.items() if state not in "tTZX"]
        if not moving:
            return ["-p", str(inferior.pid)]
        if may_move and thread and (thread.ptid[1] or thread.ptid[0]) not in moving:
            return ["--no-stop", "-p", str(inferior.pid)]
        raise HeapwalkError("the process is running: stop it first (interrupt; in non-stop mode all of its "
                            "threads: interrupt -a)")

    @staticmethod
    def arguments(may_move=False):
        """As the command wants it. Where `may_move`, other threads than the selected one may run."""
        inferior = gdb.selected_inferior()
        kind = HeapwalkTarget.connection(inferior)
        if inferior.pid == 0 or not kind:
            raise HeapwalkError("there is no process and no core: start one (run), attach to one (attach "
                               "PID) or open one (core-file FILE)")
        if kind == "core":
            return HeapwalkTarget.core()
        if kind == "native":
            return HeapwalkTarget.process(inferior, may_move)
        raise HeapwalkError(f"this process is at the other end of a connection (target {kind}), and heapwalk "
                           f"reads processes and cores of this machine: {HeapwalkTarget.REMEDY_OF_REMOTE}")


class HeapwalkRun:
    """One run of the command. Use as a context manager: nothing of it is left afterwards, however that
    ends. Of its own session, for Ctrl-C is for gdb, which then leaves the `with`."""

    PLACE = os.path.dirname(os.path.realpath(__file__)) if "__file__" in globals() else ""

    @staticmethod
    def program():
        """As it was set; else the one that came with this file; else by PATH."""
        path = gdb.parameter("heapwalk path")
        if path:
            return os.path.expanduser(path)
        place = HeapwalkRun.PLACE
        prefix, share, _ = place.rpartition("/share/")
        beside = os.path.join(prefix, "bin") if share else os.path.join(os.path.dirname(place), "build")
        path = os.path.join(beside, "heapwalk")
        if os.access(path, os.X_OK):
            return path
        import shutil
        path = shutil.which("heapwalk")
        if not path:
            raise HeapwalkError(f"there is no heapwalk in {beside} or in PATH: name it by set heapwalk path "
                                "FILE")
        return path

    @staticmethod
    def command(*options, may_move=False):
        """All words: program, options, what to read."""
        own = gdb.string_to_argv(gdb.parameter("heapwalk options") or "")
        return (HeapwalkRun.program(), *own, *options, *HeapwalkTarget.arguments(may_move))

    @staticmethod
    def environment():
        """gdb's, but for what gdb has settings of its own for."""
        environment = dict(os.environ, COLUMNS=str(HeapwalkText.width()))
        try:
            if gdb.parameter("debuginfod enabled") != "on":
                environment.pop("DEBUGINFOD_URLS", None)
        except (gdb.error, RuntimeError):
            pass  # gdb 11
        return environment

    def __init__(self, *options, command=None):
        self.words, self.process, self.errors = command or self.command(*options), None, None
        self.answered = False

    def __enter__(self):
        import tempfile
        self.errors = tempfile.TemporaryFile()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.stdout.close()
            self.process.wait()
        self.errors.close()

    def start(self):
        """Ctrl-C waits until it is known what there is to be ended."""
        import signal
        import subprocess
        memory, before = HeapwalkTarget.memory(), signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
                pass_fds=memory, env=self.environment(), start_new_session=True)
        except OSError as why:
            raise HeapwalkError(f"cannot run {self.words[0]}: {why.strerror}; name another by set heapwalk "
                                "path FILE") from why
        finally:
            for descriptor in memory:
                os.close(descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def blocks(self):
        """Its output as it comes. Not by a read that waits: gdb has it go on after Ctrl-C."""
        import select
        out = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(out, select.POLLIN)
        while True:
            if poll.poll(1000):
                block = os.read(out, 1 << 16)
                if not block:
                    return
                self.answered = True
                yield block

    def text(self):
        return b"".join(self.blocks()).decode("utf-8", "replace")

    def lines(self):
        """All of them, many at a time, each with its end."""
        rest = b""
        for block in self.blocks():
            *lines, rest = (rest + block).splitlines(True)
            if rest.endswith(b"\n"):
                lines, rest = [*lines, rest], b""
            yield [line.decode("utf-8", "replace") for line in lines]
        if rest:
            yield [rest.decode("utf-8", "replace")]

    def wait(self):
        """Its status. Not by a call that waits, for the same reason."""
        import subprocess
        while True:
            try:
                return self.process.wait(1)
            except subprocess.TimeoutExpired:
                continue

    def said(self):
        """What it wrote to its standard error, in lines. That gdb has stopped the process needs no saying."""
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").splitlines()
        return [re.sub("^heapwalk: ", "", line) for line in lines
                if not line.endswith("the process stood still already")]

    def end(self):
        """Once all output was read: whether the answer is complete. An error where there is none."""
        status = self.wait()
        said = "\n".join(self.said())
        if status not in (0, 1) or (status and not self.answered and not said):
            raise HeapwalkError(said or f"heapwalk has ended with status {status}")
        return status == 0

    def warn(self):
        for line in self.said():
            gdb.write(line + "\n", gdb.STDERR)


class HeapwalkAnswers:
    """JSON of runs, made once as long as nothing moves."""

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def kept(command, _moment):
        import json
        with HeapwalkRun(command=command) as run:
            text = run.text()
            run.end()
        try:
            return json.loads(text)
        except ValueError as why:
            raise HeapwalkError(f"{command[0]} answers with something else than a report") from why

    @staticmethod
    def of(*options, may_move=False):
        command = HeapwalkRun.command("-q", "-J", *options, may_move=may_move)
        return HeapwalkAnswers.kept(command, HeapwalkTarget.moment())

    @staticmethod
    def report(may_move=False):
        return HeapwalkAnswers.of(may_move=may_move)

    @staticmethod
    def whatis(address, may_move=False):
        return HeapwalkAnswers.of("--whatis", hex(address), may_move=may_move)

    @staticmethod
    def arenas():
        """How arenas are called, for completion; nothing where that cannot be said."""
        try:
            return [HeapwalkText.arena(row["index"]) for row in HeapwalkAnswers.report()["arenas"]]
        except (gdb.GdbError, gdb.error, KeyboardInterrupt):
            return []

    @staticmethod
    def forget(_event):
        """gdb writes into memory while the process stands still."""
        HeapwalkAnswers.kept.cache_clear()


class HeapwalkText:
    """How the command writes."""

    UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

    @staticmethod
    def help(owner):
        """A docstring flush left, as gdb 12 makes it by itself."""
        return re.sub("^    ", "", owner.__doc__, flags=re.M)

    @staticmethod
    def width():
        """Columns: as gdb has it; where it does not care, as the terminal has."""
        import shutil
        return gdb.parameter("width") or shutil.get_terminal_size().columns

    @staticmethod
    def is_piped():
        """Whether gdb's `pipe` takes the output: a child of gdb reads from a pipe that gdb writes to."""
        def link(path):
            try:
                return os.readlink(path)
            except OSError:
                return ""
        own = {link(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as f:
                children = f.read().split()
        except OSError:
            return False
        inputs = {link(f"/proc/{child}/fd/0") for child in children}
        return any(name.startswith("pipe:") for name in inputs & own)

    @staticmethod
    def is_colored():
        """As gdb does: where style is on and the terminal gets the output. Python code that runs a command
        may want it as a string."""
        if not gdb.parameter("style enabled") or os.environ.get("NO_COLOR"):
            return False
        if not os.isatty(1) or os.environ.get("TERM", "dumb") == "dumb":
            return False
        frame = sys._getframe()
        own = frame.f_code.co_filename
        while frame and frame.f_code.co_filename == own:
            frame = frame.f_back
        return not frame and not HeapwalkText.is_piped()

    @staticmethod
    def options():
        """Those that make the command write as gdb's user wants it."""
        exact = ["-b"] if gdb.parameter("heapwalk units") == "bytes" else []
        return [*exact, "--color=" + ("always" if HeapwalkText.is_colored() else "never")]

    @staticmethod
    def size(count):
        """"1.50 KiB"; three or four digits, rounded to the nearest."""
        if count is None:
            return "-"
        if gdb.parameter("heapwalk units") == "bytes":
            return str(count)
        if count < 1024:
            return f"{count} B"
        for rank, unit in enumerate(HeapwalkText.UNITS, 1):
            one = 1 << 10 * rank
            hundredths, tenths = (100 * count + one // 2) // one, (10 * count + one // 2) // one
            if hundredths < 1000:
                return f"{hundredths // 100}.{hundredths % 100:02} {unit}"
            if tenths < 10240 or rank == len(HeapwalkText.UNITS):
                return f"{tenths // 10}.{tenths % 10} {unit}"
        return str(count)

    @staticmethod
    def count(number):
        return str(number) if gdb.parameter("heapwalk units") == "bytes" else f"{number:,}"

    @staticmethod
    def arena(index):
        return "main" if index == 0 else str(index)

    @staticmethod
    def write_table(headings, rows, left=()):
        """Figures to the right, as the command has them; columns in `left` are words."""
        limit = HeapwalkLimit.rows()
        shown = [headings, *rows[:limit]]
        widths = [max(len(row[i]) for row in shown) for i in range(len(headings))]
        bold, plain = ("\033[1m", "\033[0m") if HeapwalkText.is_colored() else ("", "")
        for n, row in enumerate(shown):
            cells = [cell.ljust(width) if i in left else cell.rjust(width)
                     for i, (cell, width) in enumerate(zip(row, widths))]
            line = "  " + "  ".join(cells).rstrip()
            gdb.write((f"{bold}{line}{plain}" if n == 0 else line) + "\n")
        HeapwalkLimit.say_left_out(len(rows))

    @staticmethod
    def sections(text):
        """The paragraphs of a report."""
        return re.split(r"\n\n", text.rstrip("\n"))

    @staticmethod
    def plain(text):
        return re.sub("\033\\[[0-9;]*m", "", text)


class HeapwalkMidst:
    """Who stands in the middle of malloc has made half a change, maybe. Which threads do is seen in their
    frames, for which malloc itself needs no symbols: those of its functions that programs call are known
    in any libc. Threads that were not stopped before the arena was locked are known by that alone."""

    NAME = re.compile(r"(?:__GI_)?(?:__libc_|__)?(malloc|free|calloc|realloc|reallocarray|memalign|"
                      r"aligned_alloc|posix_memalign|valloc|pvalloc|malloc_trim|malloc_stats|malloc_info|"
                      r"mallinfo2?|malloc_arena_thread_freeres)$")
    DEEP = 64  # frames of the selected thread: it may be in a handler of a signal by now
    FLAT = 16  # of any other, as long as they are in libc
    SECONDS = 1
    SHOWN = 8

    @staticmethod
    def label(thread):
        """As gdb writes it: 2, or 1.2 where there are several processes."""
        inferiors = gdb.inferiors()
        if len(inferiors) == 1 and inferiors[0].num == 1:
            return str(thread.num)
        return f"{thread.inferior.num}.{thread.num}"

    @staticmethod
    def labels():
        """{thread id of the system: thread}"""
        return {thread.ptid[1] or thread.ptid[0]: thread for thread in gdb.selected_inferior().threads()}

    @staticmethod
    def is_libc(path):
        return bool(path) and os.path.basename(path).startswith(("libc.so", "libc-2"))

    @staticmethod
    def function(is_selected, is_static):
        """That of malloc in which the thread is that gdb has selected for now; None."""
        found, frame = None, gdb.newest_frame()
        for _ in range(HeapwalkMidst.DEEP if is_selected else HeapwalkMidst.FLAT):
            if not frame:
                break
            library = gdb.solib_name(frame.pc())
            if HeapwalkMidst.is_libc(library) or (is_static and not library):
                match = HeapwalkMidst.NAME.match(frame.name() or "")
                found = match.group(1) if match else found
            elif found or not is_selected:
                break
            frame = frame.older()
        return found

    @staticmethod
    def threads():
        """[(thread, function)], the selected one first. Nothing that the user sees is selected instead."""
        import time
        selected = gdb.selected_thread()
        if not selected:
            return []
        try:
            frame = gdb.selected_frame()
        except gdb.error:
            frame = None
        is_static = not any(HeapwalkMidst.is_libc(objfile.filename) for objfile in gdb.objfiles())
        found, until = [], time.monotonic() + HeapwalkMidst.SECONDS
        try:
            for thread in sorted(gdb.selected_inferior().threads(),
                                 key=lambda thread: (thread.num != selected.num, thread.num)):
                try:
                    thread.switch()
                    function = HeapwalkMidst.function(thread.num == selected.num, is_static)
                except gdb.error:
                    continue  # what cannot be unwound tells nothing
                if function:
                    found.append((thread, function))
                if time.monotonic() > until:
                    break
        finally:
            selected.switch()
            if frame and frame.is_valid():
                frame.select()
        return found

    @staticmethod
    def say(report=None):
        """A line behind the figures, if need be. `report`, where one was made, knows more."""
        inside = {HeapwalkMidst.label(thread): f" ({function})"
                  for thread, function in HeapwalkMidst.threads()}
        threads, locked = HeapwalkMidst.labels(), []
        if report:
            locked = [HeapwalkText.arena(row["index"]) for row in report["arenas"] if row["locked"]]
            for row in report["threads"]:
                if row.get("in_malloc") and row["tid"] in threads:
                    inside.setdefault(HeapwalkMidst.label(threads[row["tid"]]), "")
        if not inside and not locked:
            return
        names = [label + function for label, function in inside.items()] or locked
        more = f" and {len(names) - HeapwalkMidst.SHOWN} more" if len(names) > HeapwalkMidst.SHOWN else ""
        names = ", ".join(names[:HeapwalkMidst.SHOWN]) + more
        several = "s" if "," in names or more else ""
        if inside:
            text = f"Thread{several} {names} stand{'' if several else 's'} in the middle of malloc"
        else:
            text = f"Arena{several} {names} {'are' if several else 'is'} locked, in the middle of malloc"
        on, off = ("\033[33m", "\033[0m") if HeapwalkText.is_colored() else ("", "")
        gdb.write(f"{on}{text}: these figures may be those of a half-made change.{off}\n")


# ---- settings ---------------------------------------------------------------------------------------


class HeapwalkParameter(gdb.Parameter):
    """What all settings share."""

    NAME = ""
    KIND = ()
    VALUE = ""

    def __init__(self, value):
        self.__doc__ = HeapwalkText.help(type(self))
        super().__init__(self.NAME, gdb.COMMAND_DATA, *self.KIND)
        self.value = value

    def get_set_string(self):
        return ""

    @classmethod
    def current(cls):
        """As it was set before this file was sourced once more."""
        try:
            value = gdb.parameter(cls.NAME)
        except RuntimeError:
            return cls.VALUE
        return 0 if value is None else value  # unlimited


class HeapwalkPath(HeapwalkParameter):
    """Which heapwalk command is run. If none is named, it is the one that was installed or built together
    with this script, or else the one in PATH."""
    set_doc = "Set the heapwalk command that is run."
    show_doc = "Show the heapwalk command that is run."
    NAME = "heapwalk path"
    KIND = (gdb.PARAM_OPTIONAL_FILENAME,)

    def get_show_string(self, value):
        if value:
            return f'The heapwalk command is "{value}".'
        try:
            return f'The heapwalk command is "{HeapwalkRun.program()}", found by itself.'
        except gdb.GdbError as why:
            return f"The heapwalk command is not found: {why}"


class HeapwalkOptions(HeapwalkParameter):
    """Options of the heapwalk command that are always given, such as --debuginfo-path PATH or
    --libc FILE for a core of another machine. "heapwalk --help" in a shell lists them."""
    set_doc = "Set further options of the heapwalk command."
    show_doc = "Show further options of the heapwalk command."
    NAME = "heapwalk options"
    KIND = (gdb.PARAM_STRING,)

    def get_show_string(self, value):
        return f'Further options of the heapwalk command are "{value}".'


class HeapwalkUnits(HeapwalkParameter):
    """How sizes are written: "binary" is KiB, MiB and GiB, "bytes" is exact."""
    set_doc = "Set how heapwalk writes sizes."
    show_doc = "Show how heapwalk writes sizes."
    NAME = "heapwalk units"
    KIND = (gdb.PARAM_ENUM, ["binary", "bytes"])
    VALUE = "binary"

    def get_show_string(self, value):
        return f'heapwalk writes sizes as "{value}".'


class HeapwalkLimit(HeapwalkParameter):
    """How many lines heapwalk lists at most, of chunks, arenas and threads; "unlimited" for all."""
    set_doc = "Set how many lines heapwalk lists at most."
    show_doc = "Show how many lines heapwalk lists at most."
    NAME = "heapwalk limit"
    KIND = (gdb.PARAM_UINTEGER,)
    VALUE = 200

    def get_show_string(self, value):
        return f"heapwalk lists {value} lines at most."

    @staticmethod
    def rows(own=None):
        """A number that a command was given as its own, or that of the setting; none where all are wanted."""
        if own is None:
            return gdb.parameter("heapwalk limit")
        if own == "unlimited":
            return None
        if not re.match("[0-9]+$", own):
            raise HeapwalkError(f'--limit takes a number or "unlimited", not "{own}"')
        return int(own) or None

    @staticmethod
    def say_left_out(rows):
        limit = HeapwalkLimit.rows()
        if limit and rows > limit:
            gdb.write(f"  ... {rows - limit:,} more (set heapwalk limit unlimited shows them)\n")


class HeapwalkPrefix(gdb.Command):
    """The words before the settings."""

    def __init__(self, verb, doc):
        self.verb, self.__doc__ = verb, doc
        super().__init__(f"{verb} heapwalk", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        if argument:
            raise gdb.GdbError(f'Undefined {self.verb} heapwalk command: "{argument}".  '
                               f'Try "help {self.verb} heapwalk".')
        if self.verb == "set":
            raise gdb.GdbError('"set heapwalk" must be followed by limit, options, path or units.')
        for name in ("limit", "options", "path", "units"):
            gdb.write(f"{name}:  ")
            gdb.execute(f"show heapwalk {name}")


# ---- commands ---------------------------------------------------------------------------------------


class HeapwalkCommand(gdb.Command):
    """What all commands share. The text of `help` is that of each class."""

    NAME = ""
    OPTIONS = ()  # each of them takes a value
    WORDS = 0     # how many other words it takes at most
    COMPLETER = None

    def __init__(self):
        self.__doc__ = HeapwalkText.help(type(self))
        if self.COMPLETER is None:
            super().__init__(f"heapwalk {self.NAME}", gdb.COMMAND_DATA)
        else:
            super().__init__(f"heapwalk {self.NAME}", gdb.COMMAND_DATA, self.COMPLETER)

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        self.run(*self.parse(argument))

    def run(self, options, words):
        raise NotImplementedError

    def parse(self, argument):
        """{option: value} and the other words."""
        options, words, rest = {}, [], list(gdb.string_to_argv(argument))
        while rest:
            word = rest.pop(0)
            if not word.startswith("-"):
                words.append(word)
                continue
            name, _, value = word.partition("=")
            if name not in self.OPTIONS:
                self.fail(f"there is no option {name}")
            if not value and not rest:
                self.fail(f"{name} needs a value")
            options[name] = value or rest.pop(0)
        if len(words) > self.WORDS:
            self.fail(f'"{words[self.WORDS]}" is too much')
        return options, words

    def fail(self, why):
        raise gdb.GdbError(f'heapwalk {self.NAME}: {why}; try "help heapwalk {self.NAME}"')

    def of_arena(self, options):
        """Options of the command for an arena by its number."""
        arena = options.get("--arena")
        if arena is None:
            return []
        if arena != "main" and not arena.isdigit():
            self.fail(f'--arena takes a number or main, not "{arena}"')
        return ["--arena", arena]

    def complete(self, text, word):
        if word is None:  # gdb only wants to know how we tell words apart
            return []
        words = text.split()
        last = words.pop() if words and not text[-1].isspace() else ""
        if words and words[-1] in self.OPTIONS:
            choices = HeapwalkAnswers.arenas() if words[-1] == "--arena" else ["unlimited"]
        else:
            choices = [option for option in self.OPTIONS if option not in words]
        # What gdb takes for the word may be the end of what we do.
        known = len(last) - len(word)
        return [choice[known:] for choice in choices if choice.startswith(last)]

    @staticmethod
    def text(*options):
        with HeapwalkRun("-q", *options, *HeapwalkText.options()) as run:
            text = run.text()
            run.end()
        return text

    @staticmethod
    def show(text, *titles):
        """The sections of a report that begin with one of these, and what does not fit, if anything; the
        head of the report where it has none of them, for that says why."""
        sections = HeapwalkText.sections(text)
        pattern = re.compile(r"\s*(" + "|".join(titles) + ")")
        wanted = [s for s in sections if pattern.match(HeapwalkText.plain(s))] or sections[:1]
        wanted += [s for s in sections if HeapwalkText.plain(s).startswith("FINDINGS")]
        gdb.write("\n\n".join(wanted) + "\n")


class HeapwalkSummary(gdb.Command):
    """What the glibc heap (malloc) of the process or core holds, and what would help.

    Usage: heapwalk [COMMAND]

    Alone, it shows the report of the command "heapwalk": memory in use and free, how much of the free
    memory costs RAM and why malloc keeps it, arenas, sizes. The process is only read, by the command
    itself and as it stands: no function of it is called, nothing of it is changed, and malloc needs no
    debug symbols.

    It works for processes of this machine that gdb has stopped, and for cores. "set heapwalk path" names
    the command where it is not found by itself; "show heapwalk" lists all settings.

    In expressions, $_heapwalk("free_bytes") is a figure of the heap, and $_heapwalk_state(ADDRESS) the
    state of the chunk at an address: "help function _heapwalk"."""

    def __init__(self):
        self.__doc__ = HeapwalkText.help(type(self))
        super().__init__("heapwalk", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        if argument:
            raise gdb.GdbError(f'Undefined heapwalk command: "{argument}".  Try "help heapwalk".')
        gdb.write(HeapwalkCommand.text())
        HeapwalkMidst.say()


class HeapwalkArenas(HeapwalkCommand):
    """List all arenas of malloc, those with most free memory first.

    Usage: heapwalk arenas

    FREE-RES is free memory that is in RAM, TRIM what malloc_trim(0) would give back of it, STAYS the rest.
    "set heapwalk limit" says how many are listed."""

    NAME = "arenas"

    def run(self, _options, _words):
        self.show(self.shortened(self.text("--all-arenas").splitlines(True)), r"ARENA\s")
        HeapwalkMidst.say()

    @staticmethod
    def shortened(lines):
        """Without the arenas beyond the limit: rows follow the heading, and begin with a name each."""
        limit, rows, kept, within = HeapwalkLimit.rows(), 0, [], False
        for line in lines:
            plain = HeapwalkText.plain(line)
            is_row = within and re.match(r"\s*[*~]?(main|\d+)\s", plain)
            if within and not is_row and limit and rows > limit:
                kept.append(f"  ... {rows - limit:,} more (set heapwalk limit unlimited shows them)\n")
            within = bool(is_row) or bool(re.match(r"\s*ARENA\s", plain))
            rows += bool(is_row)
            if not (is_row and limit and rows > limit):
                kept.append(line)
        return "".join(kept)


class HeapwalkHist(HeapwalkCommand):
    """Show how many chunks there are of which size, in bins and in use.

    Usage: heapwalk hist [--arena N]

    With --arena N, free chunks of that arena alone; main is arena 0."""

    NAME = "hist"
    OPTIONS = ("--arena",)

    def run(self, options, _words):
        arena = self.of_arena(options)
        text = self.text("--histogram", *arena)
        self.show(text, *(("Free chunks of arena", "Arena ") if arena else (r"SIZE\s",)))
        HeapwalkMidst.say()


class HeapwalkTop(HeapwalkCommand):
    """List the top of each arena: its free end, which malloc gives back when it grows.

    Usage: heapwalk top

    FREE() is what malloc would give back of it by itself at the next large free, MALLOC_TRIM what
    malloc_trim(0) would; REASON says why that is not more."""

    NAME = "top"

    def run(self, _options, _words):
        report, size = HeapwalkAnswers.report(), HeapwalkText.size
        rows = [(("*" if row["locked"] else "") + HeapwalkText.arena(row["index"]), top["address"] or "-",
                 size(top["bytes"]), size(top["resident_bytes"]), size(top["trimmable_bytes"]),
                 size(top["malloc_trim_bytes"]), (top["reason"] or "-").replace("_", " "))
                for row in report["arenas"] for top in [row["top"]]]
        HeapwalkText.write_table(("ARENA", "TOP", "SIZE", "IN RAM", "FREE()", "MALLOC_TRIM", "REASON"), rows,
                                 left=(1, 6))
        HeapwalkMidst.say(report)


class HeapwalkTcache(HeapwalkCommand):
    """List what the threads keep in their caches of freed chunks (tcache), by gdb's thread numbers.

    Usage: heapwalk tcache

    ARENA is the one from which the thread gets its memory. The selected thread is marked by *."""

    NAME = "tcache"

    def run(self, _options, _words):
        report, threads = HeapwalkAnswers.report(), HeapwalkMidst.labels()
        selected = gdb.selected_thread()
        rows = []
        for row in report["threads"]:
            thread = threads.get(row["tid"])
            mark = "* " if thread and selected and thread.num == selected.num else "  "
            rows.append((thread.num if thread else sys.maxsize,
                         mark + (HeapwalkMidst.label(thread) if thread else "-"), str(row["tid"]),
                         thread.name or "-" if thread else "-",
                         "-" if row["arena"] is None else HeapwalkText.arena(row["arena"]),
                         HeapwalkText.count(row["tcache_chunks"]), HeapwalkText.size(row["tcache_bytes"])))
        rows = [cells for _, *cells in sorted(rows)]
        HeapwalkText.write_table(("  THREAD", "TID", "NAME", "ARENA", "CHUNKS", "BYTES"), rows, left=(0, 2))
        HeapwalkMidst.say(report)


class HeapwalkHoles(HeapwalkCommand):
    """Show the largest free runs, and the chunks that they lie between.

    Usage: heapwalk holes [N]

    The N (10) largest free runs of memory, by what of them is in RAM, with the chunk above and below each;
    and what keeps the top of an arena from shrinking."""

    NAME = "holes"
    WORDS = 1

    def run(self, _options, words):
        count = words[0] if words else "10"
        if not re.match("[0-9]+$", count) or int(count) == 0:
            self.fail(f'N is a number, not "{count}"')
        self.show(self.text("--holes", count), r"HOLES\b", r"PINS\b")
        HeapwalkMidst.say()


class HeapwalkFind(HeapwalkCommand):
    """Say what an address is: a chunk and its neighbours, or a mapping, stack or module.

    Usage: heapwalk find EXPRESSION

    EXPRESSION is any that gives an address: $rdi, p->next, &list, 0x55555575a2a0. Of an array or a
    structure, its own address is taken. Functions of the process are not called."""

    NAME = "find"
    COMPLETER = gdb.COMPLETE_EXPRESSION

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        if not argument:
            self.fail("it needs an expression")
        self.run(self.address(argument))

    @staticmethod
    def number(value):
        """An address, as unsigned as all are."""
        kind = value.type.strip_typedefs().code
        if kind in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
            return HeapwalkFind.number(value.referenced_value())
        if kind in (gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_FUNC):
            value = HeapwalkFind.without_calls(lambda: value.address)
            if value is None:
                raise HeapwalkError("this value is not in memory: it has no address")
        elif kind not in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_INT, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_CHAR,
                          gdb.TYPE_CODE_BOOL):
            raise HeapwalkError(f"a value of type {value.type} is no address")
        return int(value) & ((1 << 8 * gdb.lookup_type("char").pointer().sizeof) - 1)

    @staticmethod
    def without_calls(work):
        """Operators may be functions of the program, which gdb would call; for the address of a text that
        is only in gdb, it would call malloc."""
        setting = "may-call-functions"
        is_allowed = gdb.parameter(setting)
        try:
            if is_allowed:
                gdb.execute(f"set {setting} off", False, True)
            return work()
        except gdb.error as why:
            raise gdb.GdbError(str(why)) from why
        finally:
            if is_allowed:
                gdb.execute(f"set {setting} on", False, True)

    @staticmethod
    def address(expression):
        """gdb would carry out assignments, too: they are refused, wherever they stand but in quotes."""
        bare = re.sub(r"\"(\\.|[^\"\\])*\"|'(\\.|[^'\\])*'", "", expression)
        if re.search(r"\+\+|--|(?<![=!<>])=(?!=)|<<=|>>=", bare):
            raise HeapwalkError("this expression would change something: heapwalk only reads")
        return HeapwalkFind.without_calls(lambda: HeapwalkFind.number(gdb.parse_and_eval(expression)))

    def run(self, address):
        gdb.write(self.text("--whatis", hex(address)))
        HeapwalkMidst.say()


class HeapwalkChunks(HeapwalkCommand):
    """List the chunks, in the order of arenas and addresses.

    Usage: heapwalk chunks [--arena N] [--limit K]

    Each with its address, the pointer that the program has, its size, and its state: in use, mmapped, or
    free in a tcache, a fastbin, a bin or top. The first K, or as "set heapwalk limit" says."""

    NAME = "chunks"
    OPTIONS = ("--arena", "--limit")

    def run(self, options, _words):
        limit = HeapwalkLimit.rows(options.get("--limit"))
        left = sys.maxsize if limit is None else limit + 1  # one is the heading
        with HeapwalkRun("--chunks", *self.of_arena(options), *HeapwalkText.options()) as run:
            for lines in run.lines():
                gdb.write("".join(lines[:left]))
                if len(lines) > left:
                    gdb.write(f"... and more: these are {limit:,} (--limit unlimited lists all)\n")
                    break
                left -= len(lines)
            else:
                run.end()
                run.warn()
        HeapwalkMidst.say()


class HeapwalkCheck(HeapwalkCommand):
    """Check all that must hold in a heap of malloc, and show what stands where it does not.

    Usage: heapwalk check

    Fails where anything is damaged or missing, so that "gdb -batch -ex 'heapwalk check'" does. It shows
    bytes of the program around the damage."""

    NAME = "check"

    def run(self, _options, _words):
        with HeapwalkRun("-q", "--check", *HeapwalkText.options()) as run:
            text = run.text()
            is_complete = run.end()
        sections = HeapwalkText.sections(text)
        first = [n for n, s in enumerate(sections) if HeapwalkText.plain(s).startswith("CHECK")]
        gdb.write("\n\n".join(sections[first[0]:] if first else sections) + "\n")
        HeapwalkMidst.say()
        if not is_complete:
            raise HeapwalkError("something is damaged or missing: see above")


class HeapwalkJson(HeapwalkCommand):
    """Write the whole report to a file, as JSON.

    Usage: heapwalk json FILE

    FILE appears only when it is complete. man heapwalk-json describes it."""

    NAME = "json"
    WORDS = 1
    COMPLETER = gdb.COMPLETE_FILENAME

    def run(self, _options, words):
        if not words:
            self.fail("it needs a FILE")
        path = os.path.abspath(os.path.expanduser(words[0]))
        with HeapwalkRun("-q", "-J", "-o", path) as run:
            run.text()
            run.end()
        gdb.write(f"Written to {path}.\n")
        HeapwalkMidst.say()


# ---- functions of expressions -----------------------------------------------------------------------


class HeapwalkFunction(gdb.Function):
    """A figure of the glibc heap: $_heapwalk("free_bytes").

    Usage: $_heapwalk (NAME [, ARENA])

    NAME is one of the totals in the JSON report of heapwalk, such as system_bytes, in_use_bytes,
    in_use_chunks, tcache_bytes, fastbin_bytes, bin_bytes, bin_chunks, top_bytes, free_bytes,
    largest_free_bytes, mmapped_bytes, resident_bytes, trim_bytes or utilization; or a name with points for
    what lies deeper, such as stays.tcache_bytes, and params.mmap_threshold or complete, beside the totals.
    With ARENA, the figure of that arena, by its number; 0 is main.

    Usable wherever gdb takes an expression, in conditions of breakpoints for example:

        break f if $_heapwalk("in_use_bytes") > 1 << 30

    The heap is read once for each time that the process stops. gdb looks at conditions while other threads
    run on: then it is read as they do, and a figure that changes meanwhile is about right. What is not known,
    as what is in RAM in a core, is an error."""

    def __init__(self):
        self.__doc__ = HeapwalkText.help(type(self))
        super().__init__("_heapwalk")

    @staticmethod
    def look_up(value, name):
        """What a name with points leads to; KeyError."""
        for word in name.split("."):
            if not isinstance(value, dict):
                raise KeyError(word)
            value = value[word]
        return value

    def invoke(self, name=None, arena=None):
        if name is None or name.type.strip_typedefs().code not in (gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_PTR):
            raise HeapwalkError('$_heapwalk takes the name of a figure, in quotes: $_heapwalk("free_bytes")')
        try:
            name, arena = name.string(), None if arena is None else int(arena)
        except gdb.error as why:
            raise HeapwalkError(f"$_heapwalk (NAME [, ARENA]) takes a text and a number: {why}") from why
        report = HeapwalkAnswers.report(may_move=True)
        places = [report["totals"], report]
        if arena is not None:
            if not 0 <= arena < len(report["arenas"]):
                raise HeapwalkError(f"there is no arena {arena}")
            places = [report["arenas"][arena]]
        for place in places:
            try:
                value = self.look_up(place, name)
            except KeyError:
                continue
            if value is None:
                raise HeapwalkError(f"{name} is not known of this {report['target']['kind']} heap")
            if not isinstance(value, (dict, list)):
                return value
        raise HeapwalkError(f'there is no figure "{name}"; some are {", ".join(list(places[0])[:12])}')


class HeapwalkStateFunction(gdb.Function):
    """The state of the chunk at an address: $_heapwalk_state(p).

    Usage: $_heapwalk_state (ADDRESS)

    A string: "in use", "mmapped", "tcache", "fastbin", "bin", "top" or "overhead"; for what is no chunk
    "stack", "module", "mapping" or "unmapped". To compare it:

        break f if $_streq($_heapwalk_state(p), "tcache")"""

    def __init__(self):
        self.__doc__ = HeapwalkText.help(type(self))
        super().__init__("_heapwalk_state")

    def invoke(self, address=None):
        if address is None:
            raise HeapwalkError("$_heapwalk_state takes an address: $_heapwalk_state(p)")
        answer = HeapwalkAnswers.whatis(HeapwalkFind.number(address), may_move=True)
        return answer["chunk"]["state"] if answer["chunk"] else answer["kind"]


def heapwalk_register(previous):
    HeapwalkSummary()
    for command in HeapwalkCommand.__subclasses__():
        command()
    settings = [(setting, setting.current()) for setting in HeapwalkParameter.__subclasses__()]
    HeapwalkPrefix("set", "Set how heapwalk is run and what it shows.")
    HeapwalkPrefix("show", "Show how heapwalk is run and what it shows.")
    for setting, value in settings:
        setting(value)
    HeapwalkFunction()
    HeapwalkStateFunction()
    if previous:
        gdb.events.memory_changed.disconnect(previous)
    gdb.events.memory_changed.connect(HeapwalkAnswers.forget)


heapwalk_register(globals().get("heapwalk_forget"))
heapwalk_forget = HeapwalkAnswers.forget  # for when it is sourced once more
