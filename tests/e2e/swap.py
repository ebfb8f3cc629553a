"""Something to swap to, for a test."""

import os
import subprocess
from contextlib import contextmanager

from suite import Skip


def put_in_use(path, size):
    try:
        with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(bytes(size))
        for command in (["mkswap", path], ["swapon", path]):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                  check=False)
            if done.returncode != 0:
                raise Skip(f"{command[0]}: {done.stderr.decode(errors='replace').strip()}")
    except OSError as why:
        raise Skip(f"no file to swap to: {why}") from why


@contextmanager
def swap_file(size):
    """A file to swap to, in use for the time of a `with`; Skip where that is not possible. However
    this process ends, a guard takes it out of use."""
    path = f"/var/tmp/heapwalk-e2e-{os.getpid()}.swap"
    guard = subprocess.Popen(
        ["sh", "-c", 'cat >/dev/null; swapoff "$1" 2>/dev/null; rm -f "$1"', "guard", path],
        stdin=subprocess.PIPE, start_new_session=True)
    try:
        put_in_use(path, size)
        yield
    finally:
        guard.stdin.close()
        guard.wait(timeout=60)
