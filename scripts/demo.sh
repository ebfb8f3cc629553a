#!/bin/bash
# The demo: a program that holds a few KB and keeps 1.5 GB, seen by heapwalk while it runs; then it
# calls malloc_trim(0), and what heapwalk has foretold is compared with what the kernel says; then it
# is seen in the core file that it leaves. `make demo` builds what is needed and runs this.
#
# Leaves nothing behind: process and core are gone when it ends, however it ends. Where memory or disk
# are short it takes a smaller program. BUILD is where the binaries are; TMPDIR is where the core goes.

set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
HEAPWALK=$BUILD/heapwalk
PROGRAM=$(realpath "$BUILD/demo/fragmented")

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'
fi

title() {
    printf '\n%s%s%s\n\n' "$bold" "$*" "$plain"
}

note() {
    printf '%s%s%s\n' "$dim" "$*" "$plain"
}

die() {
    echo "demo: $*" >&2
    exit 1
}

pid='' dir=''
end_program() {
    if [ -n "$pid" ]; then
        kill -KILL "$pid" || true
        wait "$pid" || true
    fi 2>/dev/null
    pid=
}
cleanup() {
    end_program
    [ -z "$dir" ] || rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- how large it may be --------------------------------------------------------------------------

# MiB of memory that may still be used: by the machine, and by our control group.
free_memory() {
    local name value rest free=0 max current
    while read -r name value rest; do
        [ "$name" != MemAvailable: ] || free=$((value / 1024))
    done </proc/meminfo
    if read -r max 2>/dev/null </sys/fs/cgroup/memory.max && [ "$max" != max ] &&
        read -r current 2>/dev/null </sys/fs/cgroup/memory.current; then
        [ $(((max - current) >> 20)) -ge "$free" ] || free=$(((max - current) >> 20))
    fi
    echo "$free"
}

# MiB that fit on the disk of a directory; 0 if one cannot write there. What lies on a tmpfs is memory.
free_disk() {
    local kind free
    [ -w "$1" ] || { echo 0; return; }
    read -r kind free < <(df -P -T -m "$1" | awk 'NR == 2 { print $2, $5 }')
    case $kind in tmpfs | ramfs) [ "$free" -le $((memory / 2)) ] || free=$((memory / 2)) ;; esac
    echo "$free"
}

memory=$(free_memory)
place=${TMPDIR:-/tmp}
disk=$(free_disk "$place")
other=$(free_disk "$BUILD")
if [ "$disk" -lt 2400 ] && [ "$other" -gt "$disk" ]; then
    place=$BUILD disk=$other
fi

# Percent of the full size; the full one takes 1.5 GiB of memory and up to 2.2 GiB of disk.
size=
for percent in 100 50 25 10 3; do
    if [ "$memory" -ge $((22 * percent)) ] && [ "$disk" -ge $((24 * percent)) ]; then
        size=$percent
        break
    fi
done
[ -n "$size" ] || die "too little room: $memory MiB of memory and $disk MiB on the disk of $place are free"
[ "$size" = 100 ] || echo "Only $memory MiB of memory and $disk MiB on disk are free: the program is scaled to $size%."

buffers=$((10000 * size)) threads=24 mib=$(((24 * size + 99) / 100))
dir=$(mktemp -d "$place/heapwalk-demo.XXXXXX")
dir=$(realpath "$dir")

# ---- the steps ------------------------------------------------------------------------------------

start_program() {
    local tries=0
    : >"$dir/said"
    (cd "$dir" && ulimit -c "$(ulimit -H -c)" && exec "$PROGRAM" "$buffers" "$threads" "$mib") >"$dir/said" &
    pid=$!
    until grep -q '^ready$' "$dir/said"; do
        kill -0 "$pid" 2>/dev/null || die "the program ended before it was ready"
        [ $((tries += 1)) -lt 1200 ] || die "the program is not ready after two minutes"
        sleep 0.1
    done
}

# The kernel writes the core itself if it is told a plain name for it and we are allowed to have one.
kernel_writes_cores() {
    local pattern=''
    read -r pattern </proc/sys/kernel/core_pattern || true
    case $pattern in '' | *[/\|]*) return 1 ;; esac
    [ "$(ulimit -H -c)" = unlimited ]
}

# Sets `core`; the program is gone afterwards.
crash() {
    core=
    if kernel_writes_cores; then
        kill -ABRT "$pid"
        { wait "$pid" || true; } 2>/dev/null # the shell would tell of the crash, with line number
        pid=
        for core in "$dir"/*; do # its name is the machine's business
            [ "$core" = "$dir/said" ] || return 0
        done
        start_program
    fi
    command -v gcore >/dev/null || die "no core: the kernel does not write it here, and there is no gcore (gdb)"
    DEBUGINFOD_URLS='' gcore -o "$dir/core" "$pid" >"$dir/gcore.log" 2>&1 || die "gcore failed: $(tail -n 1 "$dir/gcore.log")"
    core=$dir/core.$pid
    kill -KILL "$pid"
    { wait "$pid" || true; } 2>/dev/null
    pid=
}

walk() {
    local status=0
    "$HEAPWALK" "$@" || status=$?
    [ "$status" = 0 ] || die "heapwalk ended with status $status"
}

# Bytes of a field of /proc/PID/status.
status_bytes() {
    awk -v field="$1:" '$1 == field { print $2 * 1024 }' "/proc/$pid/status"
}

# One figure of the whole heap.
figure() {
    "$HEAPWALK" -q -f csv -p "$pid" |
        awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i } END { print $at }'
}

trim_program() {
    local tries=0
    kill -USR1 "$pid"
    until grep -q '^trimmed' "$dir/said"; do
        [ $((tries += 1)) -lt 600 ] || die "the program does not trim its heap"
        sleep 0.1
    done
}

compare() {
    awk -v said="$1" -v went="$2" -v took="$3" 'BEGIN {
        printf "  heapwalk said that     %8.1f MiB would go   (trim_resident_bytes)\n", said / 1048576
        printf "  the kernel says that   %8.1f MiB went       (RssAnon), %s\n", went / 1048576, took
        if (went > 0) printf "  that is                %8.2f %% of what was foretold\n", 100 * went / said
    }'
}

title "1. A program that has freed nearly everything  (demo/fragmented $buffers $threads $mib)"
start_program
grep -v '^ready$' "$dir/said"

title "2. heapwalk -p $pid"
walk -p "$pid"

title "3. Was that right? The program calls malloc_trim(0)"
said=$(figure trim_resident_bytes) before=$(status_bytes RssAnon)
trim_program
compare "$said" $((before - $(status_bytes RssAnon))) "$(grep '^trimmed' "$dir/said")"
echo
note "heapwalk -p $pid, the first lines:"
walk -q -p "$pid" | sed '/^$/,$d'
end_program

start_program
crash
title "4. Another one has crashed; heapwalk ${core##*/}  ($(du -m "$core" | cut -f 1) MiB)"
walk "$core"
echo
note "The same arenas, though the process is gone: the core file is all that is needed, from a crash or from"
note "gcore(1) in production, and nobody has to wait until it happens again."
