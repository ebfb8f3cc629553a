"""Checks on the reports that are not JSON."""

import csv
import re

from tool import ESCAPE

NUMBER = re.compile(r"^-?\d+$")


def check_text(t, out, width=80):
    t.check(ESCAPE not in out, "escape codes although stdout is no terminal")
    text = out.decode("utf-8")
    t.check(text.endswith("\n") and len(text.splitlines()) > 5, "hardly any text")
    for line in text.splitlines():
        t.check(len(line) <= width, f"{len(line)} columns: {line}")
        t.check(line == line.rstrip(), f"blanks at the end of the line: {line!r}")
    for word in ("nan", "inf", "null", "-1"):
        t.check(not re.search(rf"(?<![\w.-]){word}(?![\w.])", text), f"{word!r} in the text")


def check_csv(t, out, report):
    """One row per arena and one for the totals, with the figures of the JSON report."""
    rows = list(csv.DictReader(out.decode("utf-8").splitlines()))
    t.equal("rows", len(rows), len(report["arenas"]) + 1)
    t.check(all(None not in row and None not in row.values() for row in rows), "ragged rows")
    for row, want in zip(rows, [*report["arenas"], report["totals"]]):
        for name, value in want.items():
            if name in row and (value is None or isinstance(value, int)):
                got = int(row[name]) if NUMBER.match(row[name]) else row[name] or None
                t.equal(f"csv {name}", got, value)
    missing = [k for k in report["totals"] if k.endswith("_bytes") and rows and k not in rows[0]]
    t.equal("figures missing in the header", missing, [])
