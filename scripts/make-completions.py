#!/usr/bin/env python3
"""Makes the completions of a shell from what the program says about itself.

    scripts/make-completions.py PROGRAM bash|zsh|fish

The options are those of --help. What can stand for an argument follows from its name there, by ARGUMENTS;
the words that an option knows stand in WORDS, or are asked for (add_tables).
"""

import re
import sys

import usage as usages

# What is completed for an argument, by its name in --help.
ARGUMENTS = {"PID": "pid", "FILE": "file", "DIR": "directory", "PATH": "directory"}
# These are numbers, addresses and the like, for which nothing can be proposed.
FREE = {"ADDR", "BYTES", "MS", "N", "SECONDS"}
# These take several words, with commas between them.
LISTS = {"LIST"}
# The words that an option takes.
WORDS = {
    "--color": ["auto", "always", "never"],
    "--format": ["text", "json", "malloc_info", "malloc_stats", "csv"],
    "--arena": ["main"],
    "--max-pause": ["none"],
}


def add_tables(program):
    """The names of tables and columns, which the program lists."""
    def names(*words):
        return [line.split()[0] for line in usages.ask(program, *words, "help").splitlines() if line]

    WORDS["--table"] = names("--table")
    columns = [name for table in WORDS["--table"] for name in names("--table", table, "--columns")]
    WORDS["--columns"] = WORDS["--sort"] = list(dict.fromkeys(columns))


def kind_of(option):
    return ARGUMENTS.get(option.argument, "")


def words_of(option):
    return WORDS.get(option.long, [])


def label_of(option):
    """What it does in few words: its first clause, or all where that says nothing."""
    text = re.split(r"[:;]| \(", option.text)[0].strip()
    if len(text) > 60:
        text = text[:20] + text[20:].split(",")[0]
    return text if len(text) > 12 else option.text


def names_of(option):
    return [name for name in (option.short, option.long) if name and name != "-?"]


# ---- bash ----------------------------------------------------------------------------------------

BASH = r"""# bash completion of heapwalk, by the functions of bash-completion. Made by scripts/make-completions.py.

_heapwalk()
{
    local cur prev words cword split
    _init_completion -s || return

    case $prev in
%(cases)s    esac
    $split && return

    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '%(options)s' -- "$cur"))
        [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
        return
    fi
    _filedir
} && complete -F _heapwalk heapwalk
"""
BASH_KINDS = {"pid": "_pids", "file": "_filedir", "directory": "_filedir -d"}


def make_bash(options):
    cases = {}
    for option in options:
        if not option.argument:
            continue
        action = BASH_KINDS.get(kind_of(option), ":")
        if words := words_of(option):
            listed = " ".join(words)
            action = f"""COMPREPLY=($(compgen -W '{listed}' -- "$cur"))"""
            if option.argument in LISTS:  # the last of them; more may follow
                action = (f"""COMPREPLY=($(compgen -P "${{cur%"${{cur##*,}}"}}" -W '{listed}' -- "${{cur##*,}}"))"""
                          "\n            compopt -o nospace")
        if not option.optional:
            cases.setdefault((action, "return"), []).extend(names_of(option))
        elif action != ":":  # it stands behind = alone
            cases.setdefault((f"$split && {{ {action}; return; }}", ""), []).append(option.long)
    text = ""
    for (action, end), names in cases.items():
        lines = [line for line in ("" if action == ":" else action, end) if line]
        text += "        " + " | ".join(names) + ")\n"
        text += "".join(f"            {line}\n" for line in lines) + "            ;;\n"
    spelled = [name + ("=" if option.argument and not option.optional and name.startswith("--") else "")
               for option in options for name in names_of(option)]
    return BASH % {"cases": text, "options": " ".join(spelled)}


# ---- zsh -----------------------------------------------------------------------------------------

ZSH_KINDS = {"pid": "_pids", "file": "_files", "directory": "_files -/"}


def zsh_text(text):
    text = text.replace("'", "'\\''")
    return re.sub(r"([\[\]:])", r"\\\1", text)


def make_zsh(options):
    specs = []
    for option in options:
        names = names_of(option)
        action = ""
        if option.argument:
            values = " ".join(words_of(option))
            action = f"({values})" if values else ZSH_KINDS.get(kind_of(option), " ")
            if option.argument in LISTS:
                action = f"_values -s , {option.argument.lower()} {values}"
            action = f"{'::' if option.optional else ':'}{option.argument.lower()}:{action}"
        # + means: in this word or in the next; = for long ones likewise, and =- only behind a =
        marks = {name: "" if not option.argument else "=-" if option.optional else
                 "=" if name.startswith("--") else "+" for name in names}
        label = f"[{zsh_text(label_of(option))}]{action}"
        if len(names) > 1:
            both = ",".join(name + marks[name] for name in names)
            specs.append(f"'({' '.join(names)})'{{{both}}}'{label}'")
        else:
            specs.append(f"'{names[0]}{marks[names[0]]}{label}'")
    lines = " \\\n    ".join(specs + ["'1:core:_files'", "'2:executable:_files'"])
    return ("#compdef heapwalk\n# zsh completion of heapwalk. Made by scripts/make-completions.py.\n\n"
            f"_arguments -s -S \\\n    {lines}\n")


# ---- fish ----------------------------------------------------------------------------------------

FISH_KINDS = {"pid": "-x -a '(__fish_complete_pids)'", "file": "-r -F",
              "directory": "-x -a '(__fish_complete_directories)'"}


def make_fish(options):
    lines = ["# fish completion of heapwalk. Made by scripts/make-completions.py."]
    for option in options:
        line = "complete -c heapwalk"
        if option.short and option.short != "-?":
            line += f" -s {option.short[1:]}"
        line += f" -l {option.long[2:]}"
        if option.argument in LISTS:
            line += f" -x -a '(__fish_append , {' '.join(words_of(option))})'"
        elif words := words_of(option):
            # fish's own way to say that an argument may be left out: options of both kinds
            line += f" {'-f' if option.optional else '-x'} -a '{' '.join(words)}'"
        elif option.argument:
            line += " " + FISH_KINDS.get(kind_of(option), "" if option.optional else "-x")
        text = label_of(option).replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{line.rstrip()} -d '{text}'")
    return "\n".join(lines) + "\n"


MAKERS = {"bash": make_bash, "zsh": make_zsh, "fish": make_fish}


def main():
    if len(sys.argv) != 3 or sys.argv[2] not in MAKERS:
        sys.exit(__doc__)
    add_tables(sys.argv[1])
    sys.stdout.write(MAKERS[sys.argv[2]](usages.read(sys.argv[1]).options()))


if __name__ == "__main__":
    main()
