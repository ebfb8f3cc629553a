"""Completions: each shell is asked what it would propose."""

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys

from process import wait_for, workplace
from suite import Skip

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def script(tool, shell):
    return os.path.join(tool.build, "completions", "heapwalk." + shell)


def lines_of(*command, cwd):
    done = subprocess.run(command, cwd=cwd, text=True, timeout=60, check=False, **QUIET)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{command}: status {done.returncode}, {done.stderr}")
    return done.stdout.splitlines()


# ---- bash: its function is called as readline would call it ---------------------------------------

BASH = r"""
source {library} && source {script} || exit 1
COMP_LINE={line} COMP_POINT=${{#COMP_LINE}} COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
compopt() {{ :; }} # there is no readline
$(complete -p heapwalk | sed 's/.*-F \([^ ]*\).*/\1/') heapwalk {last} {before}
printf '%s\n' "${{COMPREPLY[@]}}"
"""


def by_bash(tool, place, line):
    if not os.path.exists(BASH_COMPLETION):
        raise Skip("no bash-completion here")
    words = re.findall(r"=|[^ =]+", line) + ([""] if line[-1] in " =" else [])
    quoted = [shlex.quote(word) for word in words]
    text = BASH.format(library=BASH_COMPLETION, script=shlex.quote(script(tool, "bash")),
                       line=shlex.quote(line), words=" ".join(quoted), last=quoted[-1], before=quoted[-2])
    return lines_of("bash", "--norc", "--noprofile", "-c", text, cwd=place)


# ---- fish: it answers by itself ------------------------------------------------------------------


def by_fish(tool, place, line):
    if not shutil.which("fish"):
        raise Skip("no fish here")
    text = f"source {shlex.quote(script(tool, 'fish'))}; complete -C {shlex.quote(line)}"
    env = f"HOME={place}"  # it keeps files there
    return [said.split("\t")[0] for said in
            lines_of("env", env, "fish", "--no-config", "-c", text, cwd=place)]


# ---- zsh: only its line editor completes, so it gets a terminal -----------------------------------

# What completion functions add goes through compadd; those that only ask (-O, -A, -D) pass by.
ZSH = r"""
unsetopt zle_bracketed_paste beep prompt_sp
fpath=($ZDOTDIR/functions $fpath)
autoload -Uz compinit && compinit -u -d $ZDOTDIR/dump
compadd() {
    local -a hits
    if [[ " ${@[1,(i)(-|--)]}" != *' -'[[:alnum:]]#[OAD]* ]]; then
        builtin compadd -O hits "$@"
        (( $#hits )) && print -rl -- $hits >> $ZDOTDIR/hits
    fi
    builtin compadd "$@"
}
propose() {
    BUFFER=$(<$ZDOTDIR/line) CURSOR=$#BUFFER
    zle list-choices
    BUFFER=
    : > $ZDOTDIR/done
}
zle -N propose
bindkey '^T' propose
: > $ZDOTDIR/ready
"""


def by_zsh(tool, place, line):
    if not shutil.which("zsh"):
        raise Skip("no zsh here")
    functions = os.path.join(place, ".zsh", "functions")
    home = os.path.dirname(functions)
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(functions)
    shutil.copy(script(tool, "zsh"), os.path.join(functions, "_heapwalk"))
    for name, text in ((".zshrc", ZSH), ("line", line)):
        with open(os.path.join(home, name), "w", encoding="utf-8") as f:
            f.write(text)
    ours, theirs = pty.openpty()
    env = {**os.environ, "ZDOTDIR": home, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(["zsh", "-d", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=place, env=env,
                          start_new_session=True) as shell:
        os.close(theirs)
        os.set_blocking(ours, False)

        def drained(name):
            try:
                os.read(ours, 65536)
            except OSError:
                pass
            return os.path.exists(os.path.join(home, name))

        try:
            if not wait_for(lambda: drained("ready"), 30):
                raise RuntimeError("zsh does not come up")
            os.write(ours, b"\x14")
            if not wait_for(lambda: drained("done"), 30):
                raise RuntimeError("zsh does not answer")
        finally:
            shell.kill()
            os.close(ours)
    hits = os.path.join(home, "hits")
    return open(hits, encoding="utf-8").read().splitlines() if os.path.exists(hits) else []


# ---- the same questions to all of them -----------------------------------------------------------


def usage(tool):
    sys.path.insert(0, os.path.join(ROOT, "scripts"))
    import usage as usages
    return usages.read(tool.path).options()


def proposals(ask, tool, place, line):
    """The words, without what stands before a = in the same word, and without marks behind them."""
    word = line.split(" ")[-1]
    before = word[:word.index("=") + 1] if "=" in word else ""
    return {said.removeprefix(before).rstrip("= /,").split(",")[-1] for said in ask(tool, place, line) if said.strip()}


def all_options(t, tool, place, ask):
    want = {option.long for option in usage(tool)}
    got = proposals(ask, tool, place, "heapwalk --")
    t.equal("options", {word for word in got if word.startswith("--")}, want)
    t.check("--snapshot" in proposals(ask, tool, place, "heapwalk -p 1 --sn"), "--sn")


def words(t, tool, place, ask):
    formats = {"text", "json", "csv", "malloc_info", "malloc_stats"}
    for line, want in (("heapwalk -f ", formats), ("heapwalk --format ", formats),
                       ("heapwalk --format=", formats), ("heapwalk --color=", {"always", "auto", "never"}),
                       ("heapwalk --color=ne", {"never"})):
        got = {w for w in proposals(ask, tool, place, line) if w in want or "." not in w}
        t.check(want <= got, f"{line}: {got}")
    for line in ("heapwalk --table ", "heapwalk --table=th"):
        t.check("threads" in proposals(ask, tool, place, line), line)
    for line in ("heapwalk --sort trim_", "heapwalk --columns trim_", "heapwalk --columns=index,trim_"):
        got = proposals(ask, tool, place, line)
        t.check("trim_bytes" in got and "index" not in got, f"{line}: {got}")
    for word in formats:  # the program takes them
        ran = tool.run("-f", word, "-p", os.getpid(), "--no-stop")
        t.check(ran.status in (0, 1), str(ran))


def files(t, tool, place, ask):
    os.mkdir(os.path.join(place, "a-directory"))
    with open(os.path.join(place, "a-core"), "w", encoding="utf-8"):
        pass
    for line, want in (("heapwalk a-", {"a-core", "a-directory"}),
                       ("heapwalk a-core a-", {"a-core", "a-directory"}),
                       ("heapwalk -e a-", {"a-core", "a-directory"}),
                       ("heapwalk --output=a-", {"a-core", "a-directory"}),
                       ("heapwalk --sysroot a-", {"a-directory"}), ("heapwalk --sysroot=a-", {"a-directory"})):
        t.equal(line, {w for w in proposals(ask, tool, place, line) if w.startswith("a-")}, want)


def processes(t, tool, place, ask):
    for line in ("heapwalk -p ", "heapwalk --pid="):
        got = proposals(ask, tool, place, line)
        t.check(any(word.isdigit() for word in got), f"{line}: {got}")


def every_argument(t, tool):
    """A new option with an argument: somebody has thought about what to propose for it."""
    sys.path.insert(0, os.path.join(ROOT, "scripts"))
    maker = __import__("make-completions")
    maker.add_tables(tool.path)
    for option in usage(tool):
        known = {*maker.ARGUMENTS, *maker.FREE}
        t.check(not option.argument or option.argument in known or option.long in maker.WORDS,
                f"{option.long}={option.argument}: what can stand there? See scripts/make-completions.py")
    t.equal("options in WORDS that are none", set(maker.WORDS) - {option.long for option in usage(tool)},
            set())


def in_a_workplace(t, function, tool, ask):
    with workplace() as place:
        function(t, tool, place, ask)


def run(suite, tool, _args):
    suite.run("completions/arguments", every_argument, tool)
    for shell, ask in (("bash", by_bash), ("zsh", by_zsh), ("fish", by_fish)):
        for name, function in (("options", all_options), ("words", words), ("files", files),
                               ("processes", processes)):
            suite.run(f"completions/{shell}-{name}", in_a_workplace, function, tool, ask)
