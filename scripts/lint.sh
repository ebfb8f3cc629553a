#!/bin/bash
# Everything that finds mistakes without running the program. Prints what the tools find, then one
# line for each tool, and exits with 1 if there was anything.
#
#   scripts/lint.sh                  every file that git knows, or would know after `git add`
#   scripts/lint.sh src/target/*.c   only these
#
# CLANG_FORMAT, CLANG_TIDY, CPPCHECK, SHELLCHECK, PYFLAKES, PYTHON, MAKE, JOBS: other programs, and how
# many processes run at once.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

: "${CLANG_FORMAT:=clang-format}" "${CLANG_TIDY:=clang-tidy}" "${CPPCHECK:=cppcheck}"
: "${SHELLCHECK:=shellcheck}" "${PYFLAKES:=pyflakes3}" "${PYTHON:=python3}" "${MAKE:=make}"
: "${JOBS:=$(nproc 2>/dev/null || echo 2)}"

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# ---- the files ------------------------------------------------------------------------------------

candidates() {
    if [ $# -gt 0 ]; then
        printf '%s\n' "$@"
    elif git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard | sort -u
    else # a tarball
        find . -type f -not -path './build*' -printf '%P\n' | sort
    fi
}

# The language of a file, by its name or, for scripts without an extension, by its first line.
language() {
    local first=
    case $1 in
    *.c) echo c ;;
    *.h) echo header ;;
    *.sh) echo shell ;;
    *.py) echo python ;;
    *.*[a-zA-Z]) ;;
    *)
        IFS= read -r first <"$1" 2>/dev/null
        case $first in
        '#!'*python*) echo python ;;
        '#!'*sh) echo shell ;;
        esac
        ;;
    esac
}

c=() headers=() shell=() python=()
while IFS= read -r file; do
    [ -f "$file" ] || continue
    case $(language "$file") in
    c) c+=("$file") ;;
    header) headers+=("$file") ;;
    shell) shell+=("$file") ;;
    python) python+=("$file") ;;
    esac
done < <(candidates "$@")

# The unit tests are one macro of criterion after another: cppcheck understands nothing of them, and
# clang-tidy takes longer for them than for all the rest.
plain=()
for file in "${c[@]}"; do
    case $file in tests/unit/*) ;; *) plain+=("$file") ;; esac
done

# ---- the tools ------------------------------------------------------------------------------------

# Runs a command on each of the files (from stdin), a few at a time, in several processes.
on_files() {
    local at_once=$1
    shift
    xargs -r -d '\n' -n "$at_once" -P "$JOBS" "$@"
}

lines() {
    [ $# = 0 ] || printf '%s\n' "$@"
}

check_format() {
    lines "${c[@]}" "${headers[@]}" | on_files 20 "$CLANG_FORMAT" --dry-run -Werror
}

# clang-format leaves comments as they are.
check_width() {
    # shellcheck disable=SC2016 # these are of awk
    lines "${c[@]}" "${headers[@]}" | on_files 100 awk 'length($0) > 100 {
        printf "%s:%d: wider than 100 columns\n", FILENAME, FNR; bad = 1 } END { exit bad }'
}

# Headers are checked through the sources that include them (HeaderFilterRegex in .clang-tidy).
# clang-tidy counts the warnings of system headers, which it does not show: that line is noise.
check_tidy() {
    local flags
    read -ra flags <<<"$("$MAKE" -s --no-print-directory flags)"
    # A few functions with many paths take two thirds of the time at the default of 225,000 states.
    flags+=(-Xclang -analyzer-config -Xclang max-nodes=60000)
    # shellcheck disable=SC2016 # it is the inner bash that expands
    lines "${plain[@]}" | TIDY_FLAGS="${flags[*]}" CLANG_TIDY=$CLANG_TIDY on_files 1 bash -c '
        read -ra flags <<<"$TIDY_FLAGS"
        "$CLANG_TIDY" --quiet "$1" -- "${flags[@]}" 2>&1 | grep -v "^[0-9]* warnings\? generated"
        exit "${PIPESTATUS[0]}"' tidy
}

check_cpp() {
    [ ${#plain[@]} = 0 ] || "$CPPCHECK" --quiet --error-exitcode=1 --inline-suppr -j "$JOBS" --std=c11 \
        --enable=warning,performance,portability --suppress=missingIncludeSystem \
        --template='{file}:{line}:{column}: {severity}: {message} [{id}]' \
        -D_GNU_SOURCE -D__linux__ -D__x86_64__ -D__GNUC__=12 -Iinclude -Isrc "${plain[@]}"
}

check_shell() {
    [ ${#shell[@]} = 0 ] || "$SHELLCHECK" "${shell[@]}"
}

check_python() {
    local rc=0
    [ ${#python[@]} = 0 ] && return 0
    PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -c '
import sys
for name in sys.argv[1:]:
    compile(open(name, encoding="utf-8").read(), name, "exec")' "${python[@]}" || rc=1
    "$PYFLAKES" "${python[@]}" || rc=1
    return $rc
}

# What the public header declares is documented.
check_reference() {
    "$MAKE" -s --no-print-directory DEPS=no docs
}

check_layers() {
    "$PYTHON" tests/layers.py
}

summary=() failed=0 passed=0
run() {
    local name=$1 count=$2 began=$SECONDS rc=0 verdict=ok
    shift 2
    "$@" >"$log" 2>&1 || rc=$?
    if [ $rc = 0 ]; then
        passed=$((passed + 1))
    else
        cat "$log"
        verdict=FAILED
        failed=$((failed + 1))
    fi
    summary+=("$(printf '%-14s %-7s %4s files %4s s' "$name" "$verdict" "$count" $((SECONDS - began)))")
}

run clang-format $((${#c[@]} + ${#headers[@]})) check_format
run width $((${#c[@]} + ${#headers[@]})) check_width
run shellcheck ${#shell[@]} check_shell
run python ${#python[@]} check_python
run reference 1 check_reference
run layers $((${#c[@]} + ${#headers[@]})) check_layers
run cppcheck ${#plain[@]} check_cpp
run clang-tidy ${#plain[@]} check_tidy

printf '%s\n' "${summary[@]}"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
