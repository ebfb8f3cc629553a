#!/bin/bash
# Builds the Debian packages, has lintian look at them, and installs them into a small clean system of the
# same release, where debian/tests/installed tries them: on a process, with their man pages, completion
# and examples. Takes root (for chroot and debootstrap) and some minutes.
#
#   scripts/check-package.sh [--keep DIR]
#
#   --keep   put the packages there; made if it is not there
#
# Packages come from where this machine gets its own. Nothing is installed on this machine. The small system
# is fetched once, by scripts/fetch-libcs.sh --tree, into its cache.
#
# The last line is "N passed, N failed". Exit status: 0 if all went well, 1 if not, 64 usage error.

# shellcheck disable=SC2317 # functions are called by their names, as steps

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

keep=''
while [ $# -gt 0 ]; do
    case $1 in
    --keep) [ $# -ge 2 ] || exit 64; keep=$2; shift ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "check-package.sh: no such option: $1" >&2; exit 64 ;;
    esac
    shift
done

place=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$place"' EXIT
chmod 755 "$place"
passed=0 failed=0

# step NAME COMMAND...: says how it went; what it printed only where it failed.
step() {
    local name=$1 began=$SECONDS
    shift
    if "$@" >"$place/log" 2>&1; then
        echo "ok   $name ($((SECONDS - began)) s)"
        passed=$((passed + 1))
    else
        tail -n 60 "$place/log"
        echo "FAIL $name ($((SECONDS - began)) s)"
        failed=$((failed + 1))
        return 1
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    exit $((failed > 0))
}

# ---- building -------------------------------------------------------------------------------------

# What git knows or would know after `git add`; of a tarball, all but what was built.
copy_sources() {
    mkdir "$place/heapwalk" || return 1
    {
        git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
            find . -type f -not -path './build*' -print0
    } | tar --null -cf - -T - | tar -xf - -C "$place/heapwalk"
}

build() {
    (
        cd "$place/heapwalk" || exit 1
        unset MAKEFLAGS MAKELEVEL CFLAGS LDFLAGS BUILD PREFIX DESTDIR
        dpkg-buildpackage -us -uc "-j$(nproc)"
    )
}

# ---- a clean system -------------------------------------------------------------------------------

# A copy of the tree, with the package sources of this machine.
make_tree() {
    local release said
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME") || return 1
    said=$(scripts/fetch-libcs.sh --tree --arch "$(dpkg --print-architecture)" "$release") || { echo "$said"; return 1; }
    cp -a "${said##* }/root" "$place/root" || return 1
    rm -rf "$place/root/etc/apt/"sources.list*
    cp -a /etc/apt/sources.list* "$place/root/etc/apt/" || return 1
    cp -a /etc/apt/trusted.gpg.d /etc/apt/keyrings "$place/root/etc/apt/" 2>/dev/null
    cp -a /usr/share/keyrings/. "$place/root/usr/share/keyrings/" || return 1
    cp -L /etc/resolv.conf /etc/hosts "$place/root/etc/" || return 1
    {
        apt-config dump | grep -E '^Acquire::(https?|ftp|socks|Retries|ForceIPv[46]|Check-)'
        echo 'APT::Install-Recommends "false"; APT::Sandbox::User "root";'
    } >"$place/root/etc/apt/apt.conf.d/90check"
    mkdir "$place/root/packages" && cp "$place"/*.deb "$place/root/packages/" &&
        cp debian/tests/installed "$place/root/packages/"
}

# In the tree, with processes of its own, which end with the command.
inside() {
    # shellcheck disable=SC2016 # it is the inner sh that expands
    timeout 600 unshare --mount --pid --fork --kill-child sh -c '
        mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -euc "$2"' sh "$place/root" "$1"
}

install_all() {
    # shellcheck disable=SC2046 # several words are meant
    inside "apt-get -q -y install /packages/lib*_*.deb $(sed -n 's/^Depends: heapwalk, libheapwalk-dev, //p' debian/tests/control |
        tr -d ,)"
}

step sources copy_sources || finish
step dpkg-buildpackage build || finish
if [ -n "$keep" ]; then
    mkdir -p "$keep" && cp "$place"/*_*.* "$keep/" || exit 1
fi
step lintian lintian --allow-root --fail-on error,warning --info "$place"/heapwalk_*.changes
rm -f "$place"/*-dbgsym_*.deb

step tree make_tree || finish
step install inside 'apt-get -q update && apt-get -q -y install /packages/heapwalk_*.deb' || finish
# shellcheck disable=SC2016
step alone inside 'heapwalk --version; sleep 99 & heapwalk -p $! | grep VERDICT' || finish
step install-all install_all || finish
step installed inside /packages/installed
step purge inside 'apt-get -q -y purge heapwalk libheapwalk0; rm -rf /packages
    ! find / -xdev -path /var/cache/man -prune -o -name "*heapwalk*" -print | grep .'
finish
