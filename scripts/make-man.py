#!/usr/bin/env python3
"""Makes a man page from its source, with what the program and the schemas say about themselves.

    scripts/make-man.py PROGRAM man/heapwalk.1.in > heapwalk.1

A line of the source that is one of these words is replaced:

    @SYNOPSIS@ @OPTIONS@ @EXAMPLES@ @STATUS@    what PROGRAM --help says
    @KEYS docs/NAME.schema.json@                every key of a JSON Schema, with type and description
    @FIGURES include/heapwalk/metrics.def@      every figure of a report

and @VERSION@ anywhere by the version of PROGRAM.
"""

import json
import os
import re
import sys

import usage as usages

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def escape(text):
    """Plain text as roff has it."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti")
    return "\\&" + text if text.startswith(".") else text


NAME = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]*)")


def prose(text):
    """The same, with options in bold, and hyphens that are no minus signs."""
    parts = NAME.split(text)  # between options, and options, in turn
    plain = [re.sub(r"(?<=[a-z])\\-(?=[a-z])", "-", escape(part)) for part in parts[::2]]
    bold = [f"\\fB{escape(part)}\\fR" for part in parts[1::2]] + [""]
    return "".join(a + b for a, b in zip(plain, bold))


def make_synopsis(usage):
    for i, line in enumerate(usage.synopsis):
        words = line.replace("[OPTION...]", "").split()
        shown = [f"\\fB{escape(w)}\\fR" if w.startswith("-") else
                 re.sub(r"[A-Z]+", r"\\fI\g<0>\\fR", w) for w in words]
        if i > 0:
            yield ".br"
        yield f"\\fBheapwalk\\fR [\\fIOPTION\\fR]... {' '.join(shown)}"


def tag_of(option):
    names = [f"\\fB{escape(name)}\\fR" for name in (option.short, option.long) if name]
    tag = ", ".join(names)
    if option.argument and option.optional:
        tag += f"[=\\fI{escape(option.argument)}\\fR]"
    elif option.argument:
        tag += f"=\\fI{escape(option.argument)}\\fR"
    return tag


def make_options(usage):
    for title, options in usage.groups:
        yield f".SS {escape(title)}"
        for option in options:
            yield ".TP"
            yield tag_of(option)
            yield prose(option.text) + "."


def make_examples(usage):
    for command, text in usage.examples:
        yield ".TP"
        yield f"\\fB{escape(command)}\\fR"
        yield prose(text)


def make_status(usage):
    for number, text in usage.statuses:
        yield ".TP"
        yield f"\\fB{number}\\fR"
        yield prose(text)


# ---- JSON ----------------------------------------------------------------------------------------


def follow(schema, node):
    """A node with what it refers to; its own description wins."""
    if "$ref" in node:
        target = schema
        for word in node["$ref"].split("/")[1:]:
            target = target[word]
        node = {**follow(schema, target), **{k: v for k, v in node.items() if k != "$ref"}}
    return node


def kind_of(schema, node):
    """Its type in words."""
    node = follow(schema, node)
    if "const" in node:
        return json.dumps(node["const"])
    if "enum" in node:
        return " or ".join(json.dumps(value) for value in node["enum"])
    for key in ("anyOf", "oneOf"):
        if key in node:
            return " or ".join(dict.fromkeys(kind_of(schema, part) for part in node[key]))
    types = node.get("type", "any")
    types = [types] if isinstance(types, str) else types
    if "array" in types and "items" in node:
        inner = kind_of(schema, node["items"])
        types = [f"array of {inner}" if t == "array" else t for t in types]
    return " or ".join(types)


def description_of(schema, node):
    """Its own, or that of the kind of object that it is; what all numbers are stands above."""
    meant = follow(schema, node)
    return node.get("description") or meant.get("description", "") if "properties" in meant else \
        node.get("description", "")


def children(schema, node):
    """(suffix of the path, object with properties) of what a node holds."""
    node = follow(schema, node)
    found = [("", node)] if "properties" in node else []
    if "items" in node:
        found += [("[]" + suffix, inner) for suffix, inner in children(schema, node["items"])]
    for key in ("anyOf", "oneOf", "allOf"):
        for part in node.get(key, []):
            found += children(schema, part)
    return found


def keys_of(schema, node, path=""):
    """(path, node) of every key, in the order of the schema."""
    for suffix, holder in children(schema, node):
        for name, value in holder["properties"].items():
            key = f"{path}{suffix}{'.' if path or suffix else ''}{name}"
            yield key, value
            yield from keys_of(schema, value, key)


def make_keys(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        schema = json.load(f)
    for key, value in keys_of(schema, schema):
        yield ".TP"
        yield f"\\fB{escape(key)}\\fR (\\fI{escape(kind_of(schema, value))}\\fR)"
        yield prose(description_of(schema, value)) or "\\&"


def make_figures(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        for name, unit, scope, text in re.findall(
                r'^HW_METRIC\(\w+, "(\w+)", (\w+), (\w+), "(.*)"\)$', f.read(), re.M):
            yield ".TP"
            yield f"\\fB{name}\\fR (\\fI{unit.lower()}\\fR{', totals only' if scope == 'TOTAL' else ''})"
            yield prose(text)


# ---- the page ------------------------------------------------------------------------------------


def make_page(usage, source):
    makers = {"SYNOPSIS": make_synopsis, "OPTIONS": make_options, "EXAMPLES": make_examples,
              "STATUS": make_status}
    yield f'.\\" Made from {os.path.basename(source)} by scripts/make-man.py.'
    with open(source, encoding="utf-8") as f:
        for line in f.read().splitlines():
            match = re.fullmatch(r"@([A-Z]+)(?: (\S+))?@", line)
            if not match or match.group(1) == "VERSION":
                yield line.replace("@VERSION@", usage.version)
            elif match.group(1) == "KEYS":
                yield from make_keys(match.group(2))
            elif match.group(1) == "FIGURES":
                yield from make_figures(match.group(2))
            else:
                yield from makers[match.group(1)](usage)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for line in make_page(usages.read(sys.argv[1]), sys.argv[2]):
        print(line)


if __name__ == "__main__":
    main()
