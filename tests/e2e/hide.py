"""Hiding files from a program without touching them: a mount namespace of its own."""

import os
import shutil
import subprocess
import sys

SYSTEM_DEBUG = "/usr/lib/debug"
MARK = "HEAPWALK_MATRIX_NAMESPACE"
# Mounts an empty file system over every argument up to "--", then becomes what follows.
SCRIPT = ('while [ "$1" != -- ]; do mount -t tmpfs -o size=64k none "$1" || exit 125; shift; done; '
          'shift; exec "$@"')


def command(places, user):
    """What to put in front of a command so that it finds `places` (directories) empty."""
    unshare = ["unshare", "--mount", *(["--map-root-user"] if user else [])]
    return [*unshare, "sh", "-c", SCRIPT, "hide", *places, "--"]


def possible(user):
    if not shutil.which("unshare"):
        return False
    done = subprocess.run([*command(["/tmp"], user), "true"], capture_output=True, check=False)
    return done.returncode == 0


def enter():
    """Start this program anew where the system's own debug files are hidden; it returns there.
    False if nothing can be hidden on this machine. Only root or a user namespace can."""
    if os.environ.get(MARK):
        return os.environ.pop(MARK) == "yes"
    user = os.geteuid() != 0
    works = possible(user)
    os.environ[MARK] = "yes" if works else "no"
    places = [SYSTEM_DEBUG] if os.path.isdir(SYSTEM_DEBUG) else []
    prefix = command(places, user) if works else []
    again = [*prefix, sys.executable, *sys.argv]
    os.execvp(again[0], again)


def build_id(path):
    done = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if "Build ID:" in line:
            return line.split()[-1]
    return None


def has_system_debug(directory):
    """True if the system's debug files belong to the libc in `directory`."""
    found = build_id(os.path.join(directory, "libc.so.6"))
    if not found:
        return True  # nobody knows
    return os.path.exists(f"{SYSTEM_DEBUG}/.build-id/{found[:2]}/{found[2:]}.debug")
