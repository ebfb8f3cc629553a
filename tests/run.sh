#!/bin/sh
# Every test there is. Each suite prints its own output; the last line is "N passed, N failed".
#
#   BUILD=build PYTHON=/usr/bin/python3 tests/run.sh
#
# E2E may hold more arguments for tests/e2e/run.py, for example E2E=/live.
set -u
cd "$(dirname "$0")/.." || exit 2

BUILD=${BUILD:-build}
PYTHON=${PYTHON:-/usr/bin/python3}
# heapwalk is the tracer, not the traced: leaks can be looked for in sanitized builds.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:exitcode=99}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1:exitcode=99}"
export PYTHONDONTWRITEBYTECODE=1

log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

# Run a command, show its output as it comes, keep it in $log; its status is $status.
logged() {
    echo "== $*"
    { "$@" 2>&1; echo $? >"$log.status"; } | tee "$log"
    status=$(cat "$log.status")
    rm -f "$log.status"
}

# Add the figures of a suite. A suite that failed without saying so counts as one failure.
count() {
    passed=$((passed + ${1:-0}))
    failed=$((failed + ${2:-0}))
    if [ "$status" -ne 0 ] && [ "${2:-0}" -eq 0 ]; then
        failed=$((failed + 1))
    fi
}

# The last "N passed" and "N failed" of $log, as two words.
figures() {
    sed -n 's/.*\<\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed.*/\1 \2/p' "$log" | tail -n 1
}

# criterion says: [====] Synthesis: Tested: 12 | Passing: 10 | Failing: 2 | Crashing: 1
# where those that crash are among those that fail.
criterion_figure() {
    sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -n "s/.*Synthesis:.*$1: *\([0-9][0-9]*\).*/\1/p" | tail -n 1
}

if [ -f tests/layers.py ]; then
    logged "$PYTHON" tests/layers.py
    if [ -n "$(figures)" ]; then
        # shellcheck disable=SC2046 # two words are meant
        count $(figures)
    else
        count $((status == 0)) 0
    fi
fi

logged "$BUILD/unit"
count "$(criterion_figure Passing)" "$(criterion_figure Failing)"
# criterion has counted a test before its process looks for leaks as it ends: tests/unit/leaks.c
failed=$((failed + $(grep -c 'ERROR: LeakSanitizer' "$log")))

# What fuzzers found, and what they made of it: tests/fuzz/fuzz.h
logged "$BUILD/fuzz/replay" tests/fuzz/fixtures tests/fuzz/corpus
# shellcheck disable=SC2046
count $(figures)

# shellcheck disable=SC2086 # E2E may be several words
logged "$PYTHON" tests/e2e/run.py --build "$BUILD" ${E2E:-}
# shellcheck disable=SC2046
count $(figures)

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
