#!/bin/bash
# Fetches the C libraries of other Debian releases, with headers and debug files, and unpacks them
# into a cache, for tests that run programs under them. Nothing is installed: the package lists and
# settings that apt-get is given are private, the system's are only read.
#
#   scripts/fetch-libcs.sh [--dir DIR] [--arch ARCH] [--tree] [--refresh] [SUITE ...]
#
#   SUITE      bullseye bookworm trixie sid, if none is named
#   --dir      the cache: else $XDG_CACHE_HOME/heapwalk/libcs, else build/libcs
#   --arch     amd64 if not named; i386 and arm64 work as well
#   --tree     a whole small system instead, by debootstrap: takes root, half a minute and 200 MiB
#   --refresh  fetch what is in the cache already again
#
# Packages come from where this machine gets its own: the first source of its release in
# /etc/apt/sources.list or sources.list.d, with its key. Prints one line for each suite,
#
#   SUITE-ARCH VERSION DIR/SUITE-ARCH        there, in root/ and debug/; a tree: in root/
#   SUITE-ARCH skipped: WHY
#
# where for a tree SUITE-ARCH is SUITE-ARCH-tree.
#
# Exit status: 0 all are there, 3 some were skipped, 64 usage error.

set -uo pipefail

SUITES="bullseye bookworm trixie sid"
PACKAGES="libc6 libc6-dev linux-libc-dev libc6-dbg"

dir='' arch=amd64 refresh=no suites='' kind=''

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
    case $1 in
    --dir | --arch)
        [ $# -ge 2 ] || { usage >&2; exit 64; }
        if [ "$1" = --dir ]; then dir=$2; else arch=$2; fi
        shift
        ;;
    --refresh) refresh=yes ;;
    --tree) kind=-tree ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 64 ;;
    *) suites+=" $1" ;;
    esac
    shift
done
suites=${suites:-$SUITES}
for word in $suites $arch; do
    case $word in
    *[!a-z0-9.-]*) echo "fetch-libcs.sh: no suite or architecture: $word" >&2; exit 64 ;;
    esac
done

if [ -z "$dir" ]; then
    here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
    dir=${XDG_CACHE_HOME:+$XDG_CACHE_HOME/heapwalk/libcs}
    dir=${dir:-$here/build/libcs}
fi
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1

# ---- where this machine's packages come from ------------------------------------------------------

# "URI KEYRING" of every source of binary packages, one line for each suite: "SUITE URI KEYRING".
# KEYRING is - where none is named, or where the key itself stands there.
sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] && one_line_sources <"$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] && deb822_sources <"$file"
    done
}

# deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] URI SUITE COMPONENT...
one_line_sources() {
    awk '{ sub(/#.*/, "") }
         $1 == "deb" {
             key = "-"; i = 2
             if ($2 ~ /^\[/)
                 for (done = 0; !done && i <= NF; i++) {
                     word = $i
                     done = sub(/\]$/, "", word)
                     sub(/^\[/, "", word)
                     if (sub(/^signed-by=/, "", word) && word ~ /^\//) key = word
                 }
             if (i < NF) print $(i + 1), $i, key
         }'
}

deb822_sources() {
    awk 'function flush(    n, m, i, j, u, s) {
             n = split(uris, u); m = split(names, s)
             if (types ~ /(^| )deb( |$)/ && enabled !~ /^no/)
                 for (i = 1; i <= n; i++)
                     for (j = 1; j <= m; j++) print s[j], u[i], key
             types = uris = names = enabled = field = ""; key = "-"
         }
         BEGIN { key = "-" }
         /^#/ { next }
         /^[ \t]*$/ { flush(); next }
         /^[^ \t]/ { field = tolower($1); sub(/^[^:]*:[ \t]*/, "") }
         field == "types:" { types = types " " $0 }
         field == "uris:" { uris = uris " " $0 }
         field == "suites:" { names = names " " $0 }
         field == "enabled:" { enabled = enabled $0 }
         field == "signed-by:" && /^\// { key = $1 }
         END { flush() }'
}

# Sets `uri` and `keyring` to those of this machine's own release, or of any that has its name.
find_mirror() {
    local release suite
    # shellcheck source=/dev/null
    release=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
    while read -r suite uri keyring; do
        case " $release $SUITES stable testing unstable " in *" ${suite%/} "*) return 0 ;; esac
    done < <(sources)
    return 1
}

# ---- apt-get with nothing of the system's but how to reach the net --------------------------------

# The settings of this machine that say how to download (a proxy; how old a mirror may be), and
# private places for all the rest. The system's hooks are not among them.
write_settings() {
    local at=$1 suite=$2
    mkdir -p "$at"/{lists/partial,archives/partial,empty} && : >"$at/status" || return 1
    {
        apt-config dump | grep -E '^Acquire::(https?|ftp|socks|Retries|ForceIPv[46]|Check-)'
        cat <<SETTINGS
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "$at/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$at";
Dir::State::Lists "$at/lists";
Dir::State::Status "$at/status";
Dir::Cache "$at";
Dir::Cache::Archives "$at/archives";
Dir::Log "$at";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
SETTINGS
        # The directories are ours alone: no other user could write there.
        [ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";'
    } >"$at/apt.conf"
    case $keyring in
    -) echo "deb [arch=$arch] $uri $suite main" ;;
    *) echo "deb [arch=$arch signed-by=$keyring] $uri $suite main" ;;
    esac >"$at/sources.list"
}

# The first complaint of apt-get in a log, without the address it wanted.
complaint() {
    grep -E '^[EW]: ' "$1" | sed -e 's/^[EW]: //' -e 's#[a-z]*://[^ ]*##g' |
        tr -s ' ' | head -n 1
}

unpack() {
    local at=$1 to=$2 deb link
    mkdir -p "$to/root" "$to/debug" || return 1
    for deb in "$at"/archives/*.deb; do
        case ${deb##*/} in
        libc6-dbg_*) dpkg-deb -x "$deb" "$to/debug" ;;
        *) dpkg-deb -x "$deb" "$to/root" ;;
        esac || return 1
    done
    # What base-files would have made, so that /lib is found in a root that has only /usr/lib.
    for link in lib lib64; do
        [ -e "$to/root/$link" ] || [ ! -d "$to/root/usr/$link" ] ||
            ln -s "usr/$link" "$to/root/$link" || return 1
    done
    # A link to /lib/... would lead out of the root.
    find "$to/root" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
        ln -sfnr "$to/root$(readlink "$link")" "$link" || return 1
    done
}

# Fetch one suite into its place; if that fails, one line to stdout says why.
fetch() {
    local suite=$1 place=$2 at log names
    at=$(mktemp -d "$dir/.fetch-$arch${kind:--libcs}-XXXXXX") || { echo "cannot write to $dir"; return 1; }
    log=$at/log
    # shellcheck disable=SC2064 # this directory, whatever $at is by then
    trap "rm -rf '$at'" EXIT
    write_settings "$at" "$suite" || { echo "cannot write to $dir"; return 1; }
    export APT_CONFIG=$at/apt.conf
    if ! apt-get -q -o APT::Update::Error-Mode=any update </dev/null >"$log" 2>&1; then
        echo "cannot read its package lists: $(complaint "$log")"
        return 1
    fi
    names=$PACKAGES
    # shellcheck disable=SC2086 # several words are meant
    if ! (cd "$at/archives" && apt-get -q download $names) </dev/null >"$log" 2>&1; then
        echo "cannot download its packages: $(complaint "$log")"
        return 1
    fi
    if ! unpack "$at" "$at/new" >"$log" 2>&1; then
        echo "cannot unpack its packages: $(tail -n 1 "$log")"
        return 1
    fi
    for names in "$at"/archives/libc6_*.deb; do
        dpkg-deb -f "$names" Version
    done >"$at/new/version"
    if ! { rm -rf "$place" && mv "$at/new" "$place"; } 2>"$log"; then
        echo "cannot write $place"
        return 1
    fi
}

# ---- a whole system -------------------------------------------------------------------------------

# By debootstrap, which mounts things in the tree: in a mount namespace, so that they go with it.
bootstrap() {
    local suite=$1 to=$2 proxy='' options=(--variant=minbase "--arch=$arch")
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || export http_proxy="${http_proxy:-$proxy}"
    [ "$keyring" = - ] || options+=("--keyring=$keyring")
    timeout 400 unshare --mount debootstrap "${options[@]}" "$suite" "$to/root" "$uri" || return 1
    rm -f "$to/root/var/cache/apt/archives/"*.deb
    dpkg-query "--admindir=$to/root/var/lib/dpkg" -W -f '${Version}\n' libc6 >"$to/version"
}

fetch_tree() {
    local suite=$1 place=$2 at
    [ "$(id -u)" = 0 ] || { echo "debootstrap takes root"; return 1; }
    command -v debootstrap >/dev/null || { echo "there is no debootstrap"; return 1; }
    at=$(mktemp -d "$dir/.fetch-$arch${kind:--libcs}-XXXXXX") || { echo "cannot write to $dir"; return 1; }
    # shellcheck disable=SC2064 # this directory, whatever $at is by then
    trap "rm -rf '$at'" EXIT
    chmod 755 "$at"
    if ! bootstrap "$suite" "$at" </dev/null >"$at.log" 2>&1; then
        echo "debootstrap failed: $(complaint "$at.log")"
        rm -f "$at.log"
        return 1
    fi
    rm -f "$at.log"
    if ! { rm -rf "$place" && mv "$at" "$place"; } 2>/dev/null; then
        echo "cannot write $place"
        return 1
    fi
}

# ---- all of them ----------------------------------------------------------------------------------

# Prints the line of one suite.
get() {
    local suite=$1 place=$dir/$1-$arch$kind why=''
    if [ "$refresh" = yes ] || [ ! -s "$place/version" ]; then
        if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
            why="this is no Debian: there is no apt-get, or no dpkg-deb"
        elif ! find_mirror; then
            why="/etc/apt names no source of Debian packages"
        elif [ -n "$kind" ]; then
            why=$(fetch_tree "$suite" "$place") # a subshell: its trap and its environment end with it
        else
            why=$(fetch "$suite" "$place")
        fi
    fi
    if [ -s "$place/version" ] && [ -z "$why" ]; then
        echo "$suite-$arch$kind $(cat "$place/version") $place"
    else
        echo "$suite-$arch$kind skipped: ${why:-it could not be fetched}"
    fi
}

exec 9>"$dir/.lock-$arch$kind" && flock 9 || exit 1 # another one may be fetching the same
rm -rf "$dir/.fetch-$arch${kind:--libcs}-"*                   # of one that was killed

said=$(mktemp -d "$dir/.fetch-$arch${kind:--libcs}-XXXXXX") || exit 1
trap 'rm -rf "$said"' EXIT
for suite in $suites; do
    get "$suite" >"$said/$suite" &
done
wait
for suite in $suites; do
    cat "$said/$suite"
done
! grep -q ' skipped: ' "$said"/* || exit 3
