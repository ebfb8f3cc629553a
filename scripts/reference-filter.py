#!/usr/bin/env python3
"""The public header as doxygen wants to read it, to standard output (INPUT_FILTER of docs/Doxyfile).

The header's comments are plain ones, for people who read the header. Here those that stand before a
declaration, or behind a member, become documentation; sections become groups; lists that the preprocessor
expands are written out with the texts that stand in them.
"""

import os
import re
import sys

SECTION = re.compile(r"/\* -{4} (.*?) -+ \*/")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def expand_errors(text):
    """The members of enum hw_code, from the list HW_ERRORS(X) above it."""
    errors = re.findall(r'^    X\((\w+), "(.*)"\)', text, re.M)
    members = "\n".join(f"    HW_ERR_{name}, /* {meaning} */" for name, meaning in errors)
    text = re.sub(r"^#define HW_ERRORS.*?[^\\]\n", "", text, flags=re.M | re.S)
    return re.sub(r"^#define HW_ERROR_ENUM_.*?#undef HW_ERROR_ENUM_$", members, text, flags=re.M | re.S)


def expand_metrics(text, path):
    """The members of enum hw_metric, from metrics.def beside the header."""
    metrics = re.findall(r'^HW_METRIC\((\w+), "(\w+)", (\w+), (\w+), "(.*)"\)', read(path), re.M)
    members = "\n".join(f"    HW_M_{name}, /* {key}: {meaning} ({unit.lower()}) */"
                        for name, key, unit, _, meaning in metrics)
    return re.sub(r"^#define HW_METRIC\(.*?#undef HW_METRIC$", members, text, flags=re.M | re.S)


def expand_series(text):
    """The members of struct hw_sample, from the list HW_SERIES(X) above it."""
    listed = re.search(r"^#define HW_SERIES\(X\)((.*\\\n)*.*)", text, re.M)
    names = re.findall(r"X\((\w+)\)", listed.group(1)) if listed else []
    members = "\n".join(f"    struct hw_figure {name}; /* as in the totals of a report */" for name in names)
    return re.sub(r"^#define HW_SERIES_FIELD_.*?#undef HW_SERIES_FIELD_$", members, text, flags=re.M | re.S)


def sections_to_groups(text):
    found = 0

    def group(match):
        nonlocal found
        found += 1
        title = match.group(1)
        end = "/** @} */\n" if found > 1 else ""
        return f"{end}/** @defgroup {title.replace(' ', '_')} {title.capitalize()} */\n/** @{{ */"

    text = SECTION.sub(group, text)
    return re.sub(r"(#ifdef __cplusplus\n\})", r"/** @} */\n\1", text)


def comments_to_documentation(text):
    text = re.sub(r"\\(?=\w)", r"\\\\", text)  # no command of doxygen's
    text = re.sub(r"^( *)/\*(?![*])", r"\1/**", text, flags=re.M)  # on lines of their own
    text = re.sub(r"^(?! *#)(.*\S.*[;,{]) +/\*(?![*])", r"\1 /**<", text, flags=re.M)
    return re.sub(r"^( *\w+) +/\*(?![*])", r"\1 /**<", text, flags=re.M)  # the last of an enum


def main():
    path = sys.argv[1]
    text = read(path)
    first = re.match(r"/\*\n", text)
    if not first:
        sys.exit(f"{path} does not begin with what it is about")
    text = "/** @file\n" + text[first.end():]
    text = expand_metrics(expand_series(expand_errors(text)), os.path.join(os.path.dirname(path), "metrics.def"))
    sys.stdout.write(comments_to_documentation(sections_to_groups(text)))


if __name__ == "__main__":
    main()
