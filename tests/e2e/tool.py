"""Running heapwalk."""

import json
import os
import shutil
import subprocess

from suite import Skip

ESCAPE = b"\x1b"
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


class Ran:
    """What one run left behind."""

    def __init__(self, args, status, out, err):
        self.args, self.status, self.out, self.err = args, status, out, err

    def __str__(self):
        err = self.err.decode(errors="replace").strip()
        return f"heapwalk {' '.join(self.args)}: status {self.status}, stderr: {err or '(none)'}"

    def json(self):
        return json.loads(self.out)


class Tool:
    """heapwalk as built in a directory, always run with these options, by this command in front."""

    def __init__(self, build, options=(), prefix=()):
        self.build = os.path.abspath(build)
        self.path = os.path.join(self.build, "heapwalk")
        self.command = [*prefix, self.path, *options]
        self.env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}

    def run(self, *args, timeout=120, env=None, **kwargs):
        """Run to the end. A hang is a failure of its own: subprocess.TimeoutExpired."""
        args = [str(a) for a in args]
        done = subprocess.run(
            [*self.command, *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env={**self.env, **(env or {})},
            check=False,
            **kwargs,
        )
        return Ran(args, done.returncode, done.stdout, done.stderr)

    def start(self, *args, **kwargs):
        """Do not wait for the end. Output goes nowhere, unless it is said where."""
        quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        return subprocess.Popen([*self.command, *[str(a) for a in args]], env=self.env,
                                **{**quiet, **kwargs})


def under_strace(tool, log, *options):
    """heapwalk, always run by strace, which writes what it sees to the file `log`."""
    if not shutil.which("strace"):
        raise Skip("no strace here")
    traced = Tool(tool.build, prefix=("strace", "-f", *options, "-o", log))
    # The leak check of sanitizers does not work there.
    traced.env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return traced


def calls_of(tool, place, *args):
    """What a run left behind, and the system calls that strace saw of it, in lines."""
    log = os.path.join(place, "calls")
    ran = under_strace(tool, log).run(*args)
    with open(log, encoding="utf-8", errors="replace") as f:
        return ran, f.read()


def of_nobody(tool, place):
    """heapwalk as run by the user nobody, from a directory where that user gets at it."""
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")
    os.chmod(place, 0o755)
    shutil.copy(tool.path, place)
    return Tool(place, prefix=AS_NOBODY)
