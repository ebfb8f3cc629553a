"""The man pages: what they name is what there is, they are well-formed, and their examples work."""

import glob
import json
import os
import re
import shutil
import subprocess

from cases import Case
from modes import gcore, running
from suite import Skip

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = ("heapwalk.1", "heapwalk-json.5")
SECTIONS = ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "OVERHEAD", "SECURITY",
            "ENVIRONMENT", "FILES", "SEE ALSO")
ROFF = {"\\-": "-", "\\(aq": "'", "\\(ga": "`", "\\(ha": "^", "\\(ti": "~", "\\e": "\\", "\\&": ""}
TARGET = Case("target", "mixed")


def page(tool, name):
    return os.path.join(tool.build, "man", name)


def plain(text):
    """Text of roff as it is printed."""
    text = re.sub(r"\\f[BIR]", "", text)
    return re.sub(r"\\(-|\(..|e|&)", lambda m: ROFF[m.group()], text)


def sections(tool, name):
    """{title: lines} of a page, as they stand in its source."""
    found, lines = {}, []
    with open(page(tool, name), encoding="utf-8") as f:
        for line in f.read().splitlines():
            if line.startswith(".SH "):
                lines = found.setdefault(line[4:].strip('"'), [])
            else:
                lines.append(line)
    return found


def tags(lines):
    """What stands left of each paragraph."""
    return [plain(tag) for macro, tag in zip(lines, lines[1:]) if macro == ".TP"]


# ---- what they name ------------------------------------------------------------------------------


def options(t, tool):
    """Options and exit status are those of --help."""
    text = sections(tool, "heapwalk.1")
    t.equal("sections", [s for s in SECTIONS if s not in text], [])
    shown = tool.run("--help").out.decode()
    left = [re.split(r"\s{2,}", line.strip())[0] for line in shown.splitlines()
            if re.match(r" {2}(-.,|   ) --", line)]
    t.check(len(left) > 20, f"--help shows only {left}")
    t.equal("options", sorted(tags(text["OPTIONS"])), sorted(left))
    t.equal("exit status", tags(text["EXIT STATUS"]), ["0", "1", "2", "64"])


def keys_below(node):
    """The names of all properties, wherever they stand in a schema."""
    if isinstance(node, list):
        return set().union(*map(keys_below, node))
    if not isinstance(node, dict):
        return set()
    own = node.get("properties", {})
    return set(own) | set().union(*map(keys_below, node.values()))


def keys(t, tool):
    """The page has all keys of all schemas, and no others."""
    text = sections(tool, "heapwalk-json.5")
    source = open(os.path.join(ROOT, "man", "heapwalk-json.5.in"), encoding="utf-8").read()
    schemas = glob.glob(os.path.join(ROOT, "docs", "*.schema.json"))
    want = set()
    for path in schemas:
        t.check(f"@KEYS docs/{os.path.basename(path)}@" in source, f"man/heapwalk-json.5.in lacks {path}")
        with open(path, encoding="utf-8") as f:
            want |= keys_below(json.load(f))
    described = {tag.split(" (")[0] for title in text if title != "FIGURES" for tag in tags(text[title])}
    got = {re.split(r"[.\]]", key)[-1] for key in described}
    t.check(len(want) > 100, f"only {len(want)} keys")
    t.equal("keys", sorted(got), sorted(want))
    figures = {tag.split(" (")[0] for tag in tags(text["FIGURES"])}
    t.equal("figures", {f for f in figures if f"totals.{f}" not in described}, set())


# ---- how they are written ------------------------------------------------------------------------


def complaints(*command):
    env = {**os.environ, "MANROFFSEQ": "", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env=env, check=False)
    return done.stdout, done.stderr


def well_formed(t, tool, name):
    if not shutil.which("mandoc") and not shutil.which("man"):
        raise Skip("neither mandoc nor man here")
    if shutil.which("mandoc"):
        t.equal("mandoc", complaints("mandoc", "-Tlint", "-Wwarning", page(tool, name)), ("", ""))
    if shutil.which("man"):
        _, err = complaints("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page(tool, name))
        t.equal("man --warnings", err, "")


# ---- their examples ------------------------------------------------------------------------------


def commands(lines):
    """(command, why it cannot be run) of the examples in a section."""
    reason, block, lines = "", None, iter(lines)
    for line in lines:
        if line.startswith('.\\" not run: '):
            reason = line.split(": ", 1)[1]
        elif line == ".EX":
            block = []
        elif line == ".EE":
            yield plain("\n".join(block)), reason
            reason, block = "", None
        elif block is not None:
            block.append(line.removeprefix("    "))
        elif line == ".TP":
            yield plain(next(lines)), reason
            reason = ""


def examples(t, tool, name):
    """Each of them, with the pid and the core of a victim."""
    found = list(commands(sections(tool, name)["EXAMPLES"]))
    t.check(found and all("heapwalk" in command for command, _ in found), f"examples: {found}")
    env = {**tool.env, "PATH": f"{tool.build}:{os.environ['PATH']}"}
    with running(tool.build, TARGET) as victim:
        core = gcore(victim)
        for copy in ("core", f"core.{victim.pid}"):
            os.link(core, os.path.join(victim.directory, copy))
        for report in ("before.json", "after.json"):
            tool.run("-o", os.path.join(victim.directory, report), core)
        for command, reason in found:
            if reason:
                t.note(f"not run: {command} ({reason})")
                continue
            command = command.replace("1234", str(victim.pid)).replace("--interval 60", "--interval 0.1")
            done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True,
                                  cwd=victim.directory, env=env, timeout=120, check=False)
            t.equal(f"{command}\n{done.stderr.decode(errors='replace')}status", done.returncode, 0)
            t.check(done.stdout or "-o" in command, f"{command} prints nothing")


def run(suite, tool, _args):
    suite.run("manpages/options", options, tool)
    suite.run("manpages/keys", keys, tool)
    for name in PAGES:
        suite.run(f"manpages/well-formed-{name}", well_formed, tool, name)
        suite.run(f"manpages/examples-{name}", examples, tool, name)
