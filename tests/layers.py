#!/usr/bin/env python3
"""Proves that includes point upwards only, as docs/ARCHITECTURE.md draws the layers.

    base < unpack < target < symbols < layout < model < alloc < analysis < diff < render < inspect < cli

A file may include headers of its own layer and of the layers before it. Five layers are held to less
(ONLY below): what computes and what prints stays testable with values written by hand, and the
command line can do nothing that a user of the library cannot do. There are no include cycles, and no
source file grows beyond what one reads in one sitting.

The check reads a dictionary {path: text}, so it first proves on planted trees that it catches what it
is there to catch. One line per violation; the last line is "N passed, N failed".
"""

import os
import re
import sys

ORDER = ["base", "unpack", "target", "symbols", "layout", "model", "alloc", "analysis", "diff", "render", "inspect", "cli"]

# Layers that may use less than everything before them. Each may use itself and the public headers.
ONLY = {
    "model": {"base"},
    "analysis": {"base", "model"},
    "diff": {"base", "model"},
    "render": {"base", "model"},
    "cli": set(),
}

PUBLIC = "public"  # include/heapwalk/: for everyone; uses nothing but itself
WANTED_LINES = 500
MAX_LINES = 550

SOURCE = (".c", ".h", ".def")
# Strings are matched too, so that a comment sign inside of one is none.
COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|(/\*.*?\*/|//[^\n]*)', re.S)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b[ \t]*([^\n]*)", re.M)
TARGET = re.compile(r'<([^>]+)>|"([^"]+)"')


def layer_of(path):
    """The layer a file belongs to; None if it lies outside of all of them."""
    parts = path.split("/")
    if parts[0] == "include":
        return PUBLIC
    if parts[0] != "src":
        return None
    if len(parts) == 2:  # src/inspect.c and its friends
        return "inspect"
    return parts[1] if parts[1] in ORDER else None


def may_use(user, used):
    """Whether a file of layer `user` may include a header of layer `used`."""
    if used in (user, PUBLIC):
        return True
    if user == PUBLIC:
        return False
    if user in ONLY:
        return used in ONLY[user]
    return ORDER.index(used) < ORDER.index(user)


def includes(text):
    """Each include of a source text: (name, quoted); name is None where a macro computes it."""
    def blank(match):  # a comment that held line ends must not join lines
        comment = match.group(1)
        return match.group() if comment is None else "\n" * comment.count("\n") or " "

    for match in INCLUDE.finditer(COMMENT.sub(blank, text)):
        target = TARGET.match(match.group(1))
        if not target:
            yield None, True
        else:
            yield target.group(1) or target.group(2), target.group(2) is not None


def resolve(files, path, name, quoted):
    """The project's file that an include names; None if it is not one of ours."""
    places = ["src/", "include/"]
    if quoted:
        places.insert(0, os.path.dirname(path) + "/")
    for place in places:
        candidate = os.path.normpath(place + name)
        if candidate in files:
            return candidate
    return None


def check_file(files, path):
    """Violations of one file, and the project's files that it includes."""
    wrong, used = [], []
    layer = layer_of(path)
    if layer is None:
        return [f"{path}: lies in no layer; known are: {', '.join(ORDER)}"], used
    for name, quoted in includes(files[path]):
        if name is None:
            wrong.append(f"{path}: an include that a macro computes cannot be checked")
            continue
        header = resolve(files, path, name, quoted)
        if header is None:
            if quoted:
                wrong.append(f'{path}: "{name}" is not a file of the project')
            continue
        if header.endswith(".c"):
            wrong.append(f"{path}: includes the source file {header}")
        used.append(header)
        if layer_of(header) is not None and not may_use(layer, layer_of(header)):
            wrong.append(f"{path}: layer {layer} must not use {header} (layer {layer_of(header)})")
    lines = files[path].count("\n")
    if path.endswith(".c") and lines > MAX_LINES:
        wrong.append(f"{path}: {lines} lines, more than {MAX_LINES}: one file, one idea")
    return wrong, used


def find_cycles(graph):
    """Include cycles, each once, as lists of paths that end where they begin."""
    cycles, done = [], set()
    for start in sorted(graph):
        # Depth first without recursion: the path walked so far, and what is left to try at each step.
        path, left = [start], [list(graph[start])]
        while path:
            if path[-1] in done or not left[-1]:
                done.add(path.pop())
                left.pop()
                continue
            following = left[-1].pop()
            if following in path:
                cycles.append(path[path.index(following):] + [following])
            elif following in graph and following not in done:
                path.append(following)
                left.append(list(graph[following]))
    return cycles


def check(files):
    """(number of checks, violations) of a tree of files."""
    violations, graph = [], {}
    for path in sorted(files):
        wrong, graph[path] = check_file(files, path)
        violations += wrong
    for cycle in find_cycles(graph):
        violations.append("include cycle: " + " -> ".join(cycle))
    return len(files) + 1, violations


# ---- planted trees ------------------------------------------------------------------------------

GOOD = {
    "include/heapwalk/heapwalk.h": "#include <stdint.h>\n#include <heapwalk/metrics.def>\n",
    "include/heapwalk/metrics.def": "",
    "src/base/err.h": "#include <heapwalk/heapwalk.h>\n",
    "src/target/target.h": '#include "base/err.h"\n',
    "src/layout/layout.h": '#include "target/target.h"\n',
    "src/model/model.h": "#include <heapwalk/heapwalk.h>\n",
    "src/alloc/allocator.h": '#include "layout/layout.h"\n#include "model/model.h"\n',
    "src/alloc/glibc/glibc.c": '#include "glibc.h"\n#include "alloc/allocator.h"\n',
    "src/alloc/glibc/glibc.h": '/* #include "cli/options.h" */ // #include "cli/options.h"\n',
    "src/analysis/usage.c": '#include "model/model.h"\n#include "base/err.h"\n',
    "src/render/text.c": '#include "model/model.h"\n#include <libsmartcols/libsmartcols.h>\n',
    "src/inspect.h": "#include <heapwalk/heapwalk.h>\n",
    "src/inspect.c": '#include "inspect.h"\n#include "render/render.h"\n#include "alloc/allocator.h"\n',
    "src/render/render.h": "",
    "src/cli/main.c": "#include <heapwalk/heapwalk.h>\n" + '#include "options.h"\n',
    "src/cli/options.h": "",
}

# What is planted (path: text), and a piece of the complaint it must cause.
PLANTED = [
    ({"src/target/target.h": '#include "symbols/modules.h"\n', "src/symbols/modules.h": ""},
     "layer target must not use src/symbols/modules.h"),
    ({"src/base/vec.h": '  #  include "model/model.h"\n'}, "layer base must not use"),
    ({"src/model/model.h": '#include "target/target.h"\n'}, "layer model must not use"),
    ({"src/analysis/trim.c": '#include "alloc/allocator.h"\n'}, "layer analysis must not use"),
    ({"src/analysis/trim.c": "#include <target/target.h>\n"}, "layer analysis must not use"),
    ({"src/render/json.c": '#include "../target/target.h"\n'}, "layer render must not use"),
    ({"src/render/json.c": '#include "analysis/analysis.h"\n', "src/analysis/analysis.h": ""},
     "layer render must not use"),
    ({"src/cli/main.c": '#include "inspect.h"\n'}, "layer cli must not use src/inspect.h"),
    ({"src/cli/main.c": '#include "base/err.h"\n'}, "layer cli must not use"),
    ({"src/alloc/glibc/glibc.c": '#include "inspect.h"\n'}, "layer alloc must not use"),
    ({"include/heapwalk/heapwalk.h": '#include "cli/options.h"\n'}, "layer public must not use"),
    ({"src/base/err.h": 'char *glob = "/proc/*";\n#include "cli/options.h"\nchar *other = "*/";\n'},
     "layer base must not use"),
    ({"src/base/err.h": '/* a\n */ #include "render/render.h"\n'}, "layer base must not use"),
    ({"src/util/x.c": ""}, "lies in no layer"),
    ({"src/base/err.h": '#include "base/gone.h"\n'}, "is not a file of the project"),
    ({"src/base/err.h": "#include WHATEVER\n"}, "a macro computes"),
    ({"src/base/a.c": '#include "b.c"\n', "src/base/b.c": ""}, "includes the source file"),
    ({"src/base/a.c": "\n" * (MAX_LINES + 1)}, "one idea"),
    ({"src/base/a.h": '#include "b.h"\n', "src/base/b.h": '#include "base/c.h"\n',
      "src/base/c.h": '#include "a.h"\n'}, "include cycle: src/base/a.h -> src/base/b.h -> src/base/c.h"),
    ({"src/base/a.h": '#include "a.h"\n'}, "include cycle"),
]


def self_test():
    """(number of checks, failures) of the checker itself."""
    failures = [f"self-test: good tree: {v}" for v in check(GOOD)[1]]
    for planted, complaint in PLANTED:
        found = check({**GOOD, **planted})[1]
        if len(found) != 1 or complaint not in found[0]:
            failures.append(f"self-test: {planted}: expected one '... {complaint} ...', got {found}")
    return 1 + len(PLANTED), failures


# ---- the real tree ------------------------------------------------------------------------------

def read_tree(root):
    files = {}
    for top in ("include", "src"):
        for directory, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith(SOURCE):
                    path = os.path.join(directory, name)
                    with open(path, encoding="utf-8") as file:
                        files[os.path.relpath(path, root)] = file.read()
    return files


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    files = read_tree(root)
    tested, failed = self_test()
    checks, violations = check(files)
    for path, text in sorted(files.items()):
        lines = text.count("\n")
        if path.endswith(".c") and WANTED_LINES < lines <= MAX_LINES:
            print(f"note: {path}: {lines} lines, wanted are at most {WANTED_LINES}")
    for line in failed + violations:
        print(line)
    # Several violations in one file are one failed check less passed, never less than none.
    total, wrong = tested + checks, len(failed) + len(violations)
    print(f"{max(total - wrong, 0)} passed, {wrong} failed")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
