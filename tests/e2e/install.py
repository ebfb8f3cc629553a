"""What `make install` installs: in a prefix of its own, with programs that are built against it."""

import os
import re
import shutil
import subprocess
from collections import Counter

import chunk_checks
from cases import Case
from modes import gcore, good, running
from process import workplace
from suite import Skip

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = os.path.join(ROOT, "include", "heapwalk", "heapwalk.h")
EXAMPLES = ("holes", "sizes")
TARGET = Case("target", "mixed")
HOLES = 7


def call(*command, **kwargs):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120, check=False, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make(tool, *words):
    """make, as if called by hand: not part of the make that may be running these tests."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PREFIX")}
    return call("make", "-s", "-C", ROOT, "DEPS=no", f"BUILD={tool.build}", *words, env=env)


def files_below(place):
    return sorted(os.path.relpath(os.path.join(directory, name), place)
                  for directory, _, names in os.walk(place) for name in names)


# ---- what is visible -----------------------------------------------------------------------------


def declared():
    """The functions of the public header."""
    with open(HEADER, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/|^#([^\n]*\\\n)*[^\n]*", "", f.read(), flags=re.S | re.M)
    return set(re.findall(r"\b(hw_\w+)\s*\(", text))


def symbols(*options):
    """{name: version} of what a library defines; the version is "" where it has none."""
    lines = call("nm", "--defined-only", *options).splitlines()
    names = [line.split()[2] for line in lines if len(line.split()) == 3 and " A " not in line]
    return dict((name.split("@@") + [""])[:2] for name in names)


def visible(t, tool):
    """Exactly what the header declares, in both libraries; in the shared one with a version."""
    want = declared()
    t.check(len(want) > 20, f"{HEADER} declares only {want}")
    # Sanitizers put names of their own into what they instrument.
    shared = {name: version for name, version in
              symbols("-D", os.path.join(tool.build, "libheapwalk.so")).items()
              if not name.startswith(("__asan", "__ubsan", "__odr_asan"))}
    t.equal("in src/libheapwalk.map, but not in the header", set(shared) - want, set())
    t.equal("in the header, but not in src/libheapwalk.map", want - set(shared), set())
    t.check(all(re.fullmatch(r"HEAPWALK_\d+\.\d+", v) for v in shared.values()), str(shared))
    static = {name for name in symbols("-g", os.path.join(tool.build, "libheapwalk.a"))
              if not name.startswith(("__asan", "__ubsan", "__odr_asan"))}
    t.equal("global in libheapwalk.a", static, want)


def needed(t, tool):
    """Its own name ends with the number of the interface; the runtime of C++ is not needed."""
    dynamic = call("readelf", "-dW", os.path.join(tool.build, "libheapwalk.so"))
    t.equal("soname", re.findall(r"SONAME.*\[(.*)\]", dynamic), ["libheapwalk.so.0"])
    libraries = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    t.check(not any(re.match(r"libstdc\+\+|libc\+\+|libseccomp", name) for name in libraries),
            f"needs {libraries}")


def header_alone(t, tool, place):
    """The header stands alone, in strict C and in C++."""
    copy = os.path.join(place, "include", "heapwalk")
    shutil.copytree(os.path.dirname(HEADER), copy)
    strict = ("-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{place}/include")
    for language, name in (("c11", "x.c"), ("c++17", "x.cc")):
        source = os.path.join(place, name)
        with open(source, "w", encoding="utf-8") as f:
            f.write("#include <heapwalk/heapwalk.h>\nint main(void) { hw_close(NULL); return 0; }\n")
        compiler = "cc" if language == "c11" else shutil.which("c++")
        if compiler:
            call(compiler, f"-std={language}", *strict, source)
        else:
            t.note("no compiler of C++ here")


# ---- installed -----------------------------------------------------------------------------------


def prefixes(t, tool, place):
    """DESTDIR goes before PREFIX and is mentioned nowhere; what uninstall leaves is what was there."""
    stage, theirs = os.path.join(place, "stage"), os.path.join(place, "stage/opt/x/share/doc/theirs")
    words = ("PREFIX=/opt/x", f"DESTDIR={stage}")
    os.makedirs(os.path.dirname(theirs))
    with open(theirs, "w", encoding="utf-8"):
        pass
    make(tool, *words, "install-files")
    files = files_below(stage)
    for name in ("bin/heapwalk", "lib/libheapwalk.a", "lib/libheapwalk.so", "lib/libheapwalk.so.0",
                 "lib/pkgconfig/heapwalk.pc", "include/heapwalk/heapwalk.h",
                 "share/doc/heapwalk/LICENSE"):
        t.check(f"opt/x/{name}" in files, f"no {name} among {files}")
    with open(os.path.join(stage, "opt/x/lib/pkgconfig/heapwalk.pc"), encoding="utf-8") as f:
        text = f.read()
    t.check("prefix=/opt/x\n" in text and place not in text and "@" not in text, text)
    t.equal("soname leads to", os.readlink(os.path.join(stage, "opt/x/lib/libheapwalk.so.0")),
            os.path.basename(os.path.realpath(os.path.join(stage, "opt/x/lib/libheapwalk.so"))))
    make(tool, *words, "uninstall-files")
    t.equal("after uninstall", files_below(stage), [os.path.relpath(theirs, stage)])
    t.equal("directories of ours", [d for d, _, _ in os.walk(stage) if "heapwalk" in d[len(stage):]],
            [])
    make(tool, *words, "uninstall-files")  # what is gone already is no failure


def stripped(t, tool, place):
    """No debug information, but all that the linker needs."""
    make(tool, f"PREFIX={place}", "install-files", "strip-files")
    for name in ("bin/heapwalk", "lib/libheapwalk.so", "lib/libheapwalk.a"):
        sections = call("readelf", "-SW", os.path.join(place, name))
        t.check(".debug_info" not in sections, f"{name} has .debug_info")
    t.equal("libheapwalk.so", set(symbols("-D", os.path.join(place, "lib/libheapwalk.so"))) & declared(),
            declared())
    build_examples(tool, place, static=True)
    t.check("heapwalk" in call(os.path.join(place, "bin/heapwalk"), "--version"), "--version")


def gdb_script(t, tool, place):
    """gdb can source what is installed; the link by which every gdb would read it leads there."""
    if not os.path.exists(os.path.join(ROOT, "scripts", "heapwalk-gdb.py")) or not shutil.which("gdb"):
        raise Skip("no script for gdb, or no gdb")
    make(tool, f"PREFIX={place}", "install-files")
    script = os.path.join(place, "share", "heapwalk", "heapwalk-gdb.py")
    t.equal("link", os.path.realpath(os.path.join(place, "etc", "gdb", "gdbinit.d", "heapwalk.py")), script)
    said = call("gdb", "-nx", "-batch", "-ex", f"source {script}", "-ex", "help heapwalk")
    t.check("heapwalk" in said, said)


# ---- examples ------------------------------------------------------------------------------------


def flags_of(tool):
    """Compiler of a build, and what its sanitizers want of those who link with it."""
    with open(os.path.join(tool.build, ".flags"), encoding="utf-8") as f:
        words = f.read().split()
    return words[0], [word for word in words if word.startswith("-fsanitize=")]


def build_examples(tool, prefix, static=False):
    """As their first comments say, against what is installed in `prefix`."""
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.join(prefix, "lib", "pkgconfig")}
    if static:
        for name in os.listdir(os.path.join(prefix, "lib")):
            if ".so" in name:
                os.unlink(os.path.join(prefix, "lib", name))
    flags = call("pkg-config", *(["--static"] if static else []), "--cflags", "--libs", "heapwalk",
                env=env).split()
    compiler, sanitizers = flags_of(tool)
    for name in EXAMPLES:
        source = os.path.join(prefix, "share", "doc", "heapwalk", "examples", name + ".c")
        call(compiler, "-Wall", "-Wextra", "-Werror", *sanitizers, "-o", os.path.join(prefix, name), source,
            *flags)


def holes_by(prefix, pid, env):
    """[(address, bytes, arena, in RAM, behind, before)] as the example prints them."""
    out = call(os.path.join(prefix, "holes"), pid, HOLES, env=env)
    found = re.findall(r"^0x(\w+) (\d+) bytes in arena (\d+), (\d+) in RAM\n    behind (.*)\n    before (.*)$",
                       out, re.M)
    return [(int(a, 16), int(b), int(c), int(d), e, f) for a, b, c, d, e, f in found]


def beside(pin):
    if not pin:
        return "nothing"
    symbol = f", points to {pin['symbol']}" if pin["symbol"] else ""
    return f"{pin['address']} {pin['bytes']} {pin['state']}{symbol}"


def check_holes(t, tool, victim, prefix, env):
    report = tool.run("-J", "--holes", HOLES, "-p", victim.pid).json()
    want = [(int(h["address"], 16), h["bytes"], h["arena"], h["resident_bytes"], beside(h["below"]),
             beside(h["above"])) for h in report["holes"]]
    t.equal("number of holes", len(want), HOLES)
    t.equal("holes", holes_by(prefix, victim.pid, env), want)


def check_sizes(t, tool, core, prefix, env):
    ran = tool.run("--chunks", "-f", "csv", core)
    if not good(t, ran):
        return
    chunks, sums = Counter(), Counter()
    for c in chunk_checks.parse(ran.out):
        chunks[c.state, 1 << c.bytes.bit_length() - 1] += 1
        sums[c.state, 1 << c.bytes.bit_length() - 1] += c.bytes
    out = call(os.path.join(prefix, "sizes"), core, env=env)
    got = {(state, int(size)): (int(n), int(b)) for state, size, n, b in re.findall(
        r"^(\w[\w ]*?) +from +(\d+): +(\d+) chunks +(\d+) bytes$", out, re.M)}
    t.check(len(got) > 5, out)
    t.equal("sizes", got, {key: (chunks[key], sums[key]) for key in chunks})


def examples(t, tool, place, static):
    if not shutil.which("pkg-config"):
        raise Skip("no pkg-config here")
    make(tool, f"PREFIX={place}", "install-files")
    build_examples(tool, place, static)
    env = {**os.environ, "LD_LIBRARY_PATH": os.path.join(place, "lib")}
    libraries = call("readelf", "-dW", os.path.join(place, "holes"))
    t.equal("needs the library", "libheapwalk.so.0" in libraries, not static)
    with running(tool.build, TARGET) as victim:
        check_holes(t, tool, victim, place, env)
        check_sizes(t, tool, gcore(victim), place, env)


def in_a_workplace(t, function, tool, *args):
    with workplace() as place:
        function(t, tool, place, *args)


def run(suite, tool, _args):
    suite.run("install/visible", visible, tool)
    suite.run("install/needed", needed, tool)
    suite.run("install/header", in_a_workplace, header_alone, tool)
    suite.run("install/prefixes", in_a_workplace, prefixes, tool)
    suite.run("install/stripped", in_a_workplace, stripped, tool)
    suite.run("install/gdb", in_a_workplace, gdb_script, tool)
    suite.run("install/examples", in_a_workplace, examples, tool, False)
    suite.run("install/examples-static", in_a_workplace, examples, tool, True)
