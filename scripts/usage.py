"""What `heapwalk --help` tells, taken apart: the one source of man page and completions."""

import os
import re
import subprocess
from dataclasses import dataclass, field


@dataclass
class Option:
    short: str  # "-p", or ""
    long: str  # "--pid"
    argument: str  # "PID", or "" where it takes none
    optional: bool  # it may be left out
    text: str


@dataclass
class Usage:
    version: str
    synopsis: list = field(default_factory=list)  # "[OPTION...] -p PID"
    about: str = ""
    groups: list = field(default_factory=list)  # (title, [Option])
    notes: list = field(default_factory=list)  # paragraphs
    examples: list = field(default_factory=list)  # (command, what it does)
    statuses: list = field(default_factory=list)  # (number, meaning)

    def options(self):
        return [option for _, options in self.groups for option in options]


OPTION = re.compile(r" {2}(?:(-\S), |    )(--[\w-]+)(\[)?(?:=([\w,.|-]+)\]?)?(?: {2,}(\S.*))?$")
OTHERS = "Other"  # --help and its like stand below no title


def ask(program, *words):
    # No line is broken; messages are as in the source.
    env = {**os.environ, "ARGP_HELP_FMT": "rmargin=10000", "LC_ALL": "C"}
    return subprocess.run([program, *words], env=env, capture_output=True, text=True, check=True).stdout


def parse_options(paragraph, usage):
    """True if these lines are options."""
    lines = paragraph.split("\n")
    title = OTHERS
    if re.match(r" \S.*:$", lines[0]):
        title = lines.pop(0).strip().rstrip(":")
    options = []
    for line in lines:
        if match := OPTION.match(line):
            short, name, optional, argument, text = match.groups("")
            options.append(Option(short, name, argument, bool(optional), text))
        elif options and line.startswith(" " * 20):  # the name was too long for the line
            options[-1].text = (options[-1].text + " " + line.strip()).strip()
        else:
            return False
    if options:
        usage.groups.append((title, options))
    return bool(options)


def parse_table(lines):
    """[(what stands left, what stands right)] of lines like '  left    right'; deeper ones go on, or hold
    what stands right of a long one."""
    rows = []
    for line in lines:
        if match := re.match(r" {2}(\S.*?)(?: {2,}(\S.*))?$", line):
            rows.append(match.groups(""))
        elif rows and line.startswith("   "):
            rows[-1] = (rows[-1][0], (rows[-1][1] + " " + line.strip()).strip())
        else:
            raise ValueError(f"not understood: {line!r}")
    return rows


def read(program):
    """The Usage of a program that speaks argp."""
    usage = Usage(ask(program, "--version").split()[1])
    head, *paragraphs = ask(program, "--help").strip("\n").split("\n\n")
    for line in head.split("\n"):
        if match := re.match(r"(?:Usage:|  or: ) \S+ (.*)", line):
            usage.synopsis.append(match.group(1))
        else:
            usage.about += line
    for paragraph in paragraphs:
        lines = paragraph.split("\n")
        if parse_options(paragraph, usage) or lines[0].startswith("Mandatory or optional"):
            continue
        if re.match("Examples.*:$", lines[0]):
            usage.examples += parse_table(lines[1:])
        elif lines[0] == "Exit status:":
            usage.statuses = parse_table(lines[1:])
        else:
            usage.notes.append(" ".join(lines))
    return usage
