"""The README: every command in it is run, or says above it why it is not."""

import os
import re
import shutil
import subprocess

from cases import Case
from modes import gcore, running

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = Case("target", "many-threads", (12,))
# What stands for something of the reader's. The victim's directory is where the commands run.
MEANT = (
    (r"sudo ", ""),
    (r"ssh host ", ""),
    (r"coredumpctl dump app", "cat core"),
    (r'"?\$\(pidof [^)]*\)"?|\bPID\b|\b31748\b', "{pid}"),
    (r"/var/(lib/systemd/coredump|log)/|/usr/bin/(?=heapwalk)", ""),
    (r"\bCORE\b", "core"),
    (r"\[?\bEXE\b\]?", "./app"),
    (r"\bsleep 300\b", ":"),
    (r"--interval 60\b", "--interval 0.1 --count 2"),
)
CRON = re.compile(r"(?:[\d*/]+\s+){5}root\s+(.*)")


def blocks(text):
    """(why it is not run, lines) of each block between fences."""
    for reason, block in re.findall(r"(?:<!-- not run: ([^\n]*) -->\n)?^```\n(.*?)^```$", text, re.M | re.S):
        yield reason, block.splitlines()


def commands(lines):
    """Those of a block: what follows a prompt, or each line up to where it is explained."""
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    if prompted:
        yield from prompted
        return
    for line in lines:
        cron = CRON.match(line)
        if cron:
            yield cron[1].replace("\\%", "%")
        elif re.match(r"[a-z]", line):
            yield re.split(r"\s{2,}", line)[0]


def as_meant(command, pid):
    for pattern, meant in MEANT:
        command = re.sub(pattern, meant.format(pid=pid), command)
    return command


def furnish(tool, victim):
    """Gives the reader of the README what it is about: a core, a compressed one, a program, reports."""
    os.rename(gcore(victim), os.path.join(victim.directory, "core"))
    subprocess.run(["zstd", "-q", "-1", "core"], cwd=victim.directory, check=True)
    os.link(os.path.join(victim.directory, "core.zst"), os.path.join(victim.directory, "core.app.1000.x.zst"))
    shutil.copy(f"/proc/{victim.pid}/exe", os.path.join(victim.directory, "app"))
    for report in ("before.json", "after.json"):
        tool.run("-o", report, "core", cwd=victim.directory)


def run_commands(t, tool):
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        found = [(command, reason) for reason, lines in blocks(f.read())
                 for command in commands(lines) if not command.startswith("  ")]
    t.check(len(found) > 30, f"only {len(found)} commands")
    env = {**tool.env, "PATH": f"{tool.build}:{os.environ['PATH']}"}
    with running(tool.build, TARGET) as victim:
        furnish(tool, victim)
        for command, reason in found:
            if reason:
                t.note(f"not run: {command} ({reason})")
                continue
            t.check("heapwalk" in command, f"what is '{command}'?")
            done = subprocess.run(["bash", "-o", "pipefail", "-c", as_meant(command, victim.pid)],
                                  stdin=subprocess.DEVNULL, capture_output=True, cwd=victim.directory,
                                  env=env, timeout=120, check=False)
            err = done.stderr.decode(errors="replace")
            t.equal(f"{command}\n{err}status", done.returncode, 0)
            t.check(done.stdout or re.search(r" -o |>>", command), f"{command} prints nothing")


def run(suite, tool, _args):
    suite.run("readme/commands", run_commands, tool)
