"""Running heapwalk."""

import json
import os
import subprocess

ESCAPE = b"\x1b"


def under_strace():
    """The environment for a run under strace: there the leak check of sanitizers does not work."""
    sanitizers = os.environ.get("ASAN_OPTIONS", "")
    return {**os.environ, "ASAN_OPTIONS": f"{sanitizers}:detect_leaks=0"}


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
        return subprocess.Popen(
            [*self.command, *[str(a) for a in args]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.env,
            **kwargs,
        )
