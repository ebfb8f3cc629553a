#!/bin/bash
# Installs what heapwalk needs: on Debian and its relatives with apt-get, elsewhere it only says
# what is missing and what it is called there.
#
#   scripts/install-deps.sh                      everything
#   scripts/install-deps.sh --group build,tests  only these groups (see the table)
#   scripts/install-deps.sh --if-missing         quiet, and done in milliseconds, if nothing is missing
#   scripts/install-deps.sh --check              never install, only say what is missing
#   scripts/install-deps.sh --list               the Debian packages, one per line
#
# Exit status: 0 everything is there (now), 1 something is missing, 64 usage error.
#
# make calls it with --if-missing before it builds; `make DEPS=check` and `make DEPS=no` stop it
# from installing anything.

set -euo pipefail

# One line for each need: which group wants it, the Debian package, how to tell without a package
# manager that it is there, and its name on other systems ("-": not packaged, or not needed).
#   cmd:NAME   a program              pkg:NAME  a library that pkg-config knows
#   hdr:FILE   a C header             py:NAME   a Python module
#   none       cannot be told; nothing fails without it
# Not gcc-multilib: it and a compiler for another machine cannot be installed together.
# gcc's sanitizers come with gcc; clang's are libclang-rt-dev. gcore is part of gdb.
NEEDS='
# group debian              check                       fedora                 arch            suse                alpine
build   gcc                 cmd:cc                      gcc                    gcc             gcc                 gcc
build   libc6-dev           hdr:link.h                  glibc-devel            glibc           glibc-devel         musl-dev
build   make                cmd:make                    make                   make            make                make
build   pkg-config          cmd:pkg-config              pkgconf-pkg-config     pkgconf         pkgconf-pkg-config  pkgconf
build   libelf-dev          pkg:libelf                  elfutils-libelf-devel  libelf          libelf-devel        elfutils-dev
build   libdw-dev           pkg:libdw                   elfutils-devel         libelf          libdw-devel         elfutils-dev
build   libdeflate-dev      pkg:libdeflate              libdeflate-devel       libdeflate      libdeflate-devel    libdeflate-dev
build   libzstd-dev         pkg:libzstd                 libzstd-devel          zstd            libzstd-devel       zstd-dev
build   liblz4-dev          pkg:liblz4                  lz4-devel              lz4             liblz4-devel        lz4-dev
build   liblzma-dev         pkg:liblzma                 xz-devel               xz              xz-devel            xz-dev
build   zlib1g-dev          pkg:zlib                    zlib-devel             zlib            zlib-devel          zlib-dev
build   libjansson-dev      pkg:jansson                 jansson-devel          jansson         libjansson-devel    jansson-dev
build   libsmartcols-dev    pkg:smartcols               libsmartcols-devel     util-linux-libs libsmartcols-devel  util-linux-dev
build   libcapstone-dev     pkg:capstone                capstone-devel         capstone        libcapstone-devel   capstone-dev
build   libseccomp-dev      pkg:libseccomp              libseccomp-devel       libseccomp      libseccomp-devel    libseccomp-dev
build   python3             cmd:python3                 python3                python          python3             python3
demo    gdb                 cmd:gcore                   gdb                    gdb             gdb                 gdb
demo    libc6-dbg           none                        -                      -               glibc-debuginfo     -
tests   libcriterion-dev    hdr:criterion/criterion.h   -                      criterion       criterion-devel     -
tests   python3-jsonschema  py:jsonschema               python3-jsonschema     python-jsonschema python3-jsonschema py3-jsonschema
tests   gdbserver           cmd:gdbserver               gdb-gdbserver          gdb             gdbserver           gdb
tests   binutils            cmd:objcopy                 binutils               binutils        binutils            binutils
tests   elfutils            cmd:eu-strip                elfutils               elfutils        elfutils            elfutils
tests   zstd                cmd:zstd                    zstd                   zstd            zstd                zstd
tests   lz4                 cmd:lz4                     lz4                    lz4             lz4                 lz4
tests   xz-utils            cmd:xz                      xz                     xz              xz                  xz
tests   gzip                cmd:gzip                    gzip                   gzip            gzip                gzip
tests   strace              none                        strace                 strace          strace              strace
tests   libjemalloc2        none                        jemalloc               jemalloc        libjemalloc2        jemalloc
tests   libmimalloc2.0      none                        mimalloc               mimalloc        libmimalloc2        mimalloc
tests   libtcmalloc-minimal4 none                       gperftools-libs        gperftools      libtcmalloc4        gperftools
tests   musl-tools          none                        musl-gcc               musl            -                   -
tests   valgrind            none                        valgrind               valgrind        valgrind            valgrind
tests   busybox-static      none                        busybox                busybox         busybox-static      busybox-static
tests   man-db              cmd:man                     man-db                 man-db          man                 man-db
tests   mandoc              none                        mandoc                 mandoc          mandoc              mandoc
tests   bash-completion     none                        bash-completion        bash-completion bash-completion     bash-completion
tests   zsh                 none                        zsh                    zsh             zsh                 zsh
tests   fish                none                        fish                   fish            fish                fish
tests   libc6-dev-i386      none                        glibc-devel.i686       lib32-glibc     glibc-devel-32bit   -
tests   lib32gcc-12-dev     none                        libgcc.i686            lib32-gcc-libs  gcc-32bit           -
matrix  gcc-aarch64-linux-gnu none                      gcc-aarch64-linux-gnu  aarch64-linux-gnu-gcc cross-aarch64-gcc12 -
matrix  qemu-user           none                        qemu-user              qemu-user       qemu-linux-user     qemu-aarch64
matrix  debootstrap         none                        debootstrap            debootstrap     debootstrap         debootstrap
package debhelper           cmd:dh                      -                      -               -                   -
package dpkg-dev            cmd:dpkg-buildpackage       -                      -               -                   -
package debootstrap         cmd:debootstrap             debootstrap            debootstrap     debootstrap         debootstrap
package lintian             cmd:lintian                 -                      -               -                   -
fuzz    clang               cmd:clang                   clang                  clang           clang               clang
fuzz    libclang-rt-dev     none                        compiler-rt            compiler-rt     -                   compiler-rt
tools   clang-format        cmd:clang-format            clang-tools-extra      clang           clang-tools         clang-extra-tools
tools   clang-tidy          cmd:clang-tidy              clang-tools-extra      clang           clang-tools         clang-extra-tools
tools   cppcheck            cmd:cppcheck                cppcheck               cppcheck        cppcheck            cppcheck
tools   shellcheck          cmd:shellcheck              ShellCheck             shellcheck      ShellCheck          shellcheck
tools   doxygen             cmd:doxygen                 doxygen                 doxygen         doxygen             doxygen
tools   pyflakes3           cmd:pyflakes3               python3-pyflakes       python-pyflakes python3-pyflakes    py3-pyflakes
'
GROUPS_KNOWN="build demo tests matrix package fuzz tools"

mode=install quiet=no groups=

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
    case $1 in
    --if-missing) quiet=yes ;;
    --check) mode=check ;;
    --list) mode=list ;;
    --group)
        [ $# -ge 2 ] || { usage >&2; exit 64; }
        groups+=" $2"
        shift
        ;;
    --group=*) groups+=" ${1#*=}" ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
    esac
    shift
done

groups=${groups//,/ }
case " $groups " in *" all "* | "  ") groups=$GROUPS_KNOWN ;; esac
for group in $groups; do
    case " $GROUPS_KNOWN " in
    *" $group "*) ;;
    *) echo "install-deps.sh: no group '$group'; there are: $GROUPS_KNOWN all" >&2; exit 64 ;;
    esac
done
# The tests make core files of live programs, as the demo does.
case " $groups " in *" tests "*) groups+=" demo" ;; esac

debian=() checks=() fedora=() arch=() suse=() alpine=()
while read -r group d c f a s l; do
    case " $groups " in
    *" $group "*) debian+=("$d") checks+=("$c") fedora+=("$f") arch+=("$a") suse+=("$s") alpine+=("$l") ;;
    esac
done <<<"$NEEDS"

if [ "$mode" = list ]; then
    printf '%s\n' "${debian[@]}" | sort -u
    exit 0
fi

say() {
    [ "$quiet" = yes ] || echo "$*"
}

# ---- what is missing ------------------------------------------------------------------------------

# Sets `missing` to the Debian packages that are not installed: one call, about 10 ms.
missing_packages() {
    local status name installed=" "
    while read -r status name; do
        case $status in ?i) installed+="$name " ;; esac
        # The one would be removed for the other, and no test is worth that.
        case $status$name in ?ibusybox) installed+="busybox-static " ;; esac
    done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${debian[@]}" busybox 2>/dev/null ||
        true)
    missing=()
    for name in "${debian[@]}"; do
        case $installed in *" $name "*) ;; *) missing+=("$name") ;; esac
    done
}

is_there() {
    local what=${1#*:} cc
    read -ra cc <<<"${CC:-cc}"
    case $1 in
    cmd:*) command -v "$what" >/dev/null ;;
    pkg:*) pkg-config --exists "$what" 2>/dev/null ;;
    hdr:*) echo "#include <$what>" | "${cc[@]}" -E -x c - >/dev/null 2>&1 ;;
    py:*) "${PYTHON:-python3}" -c "import $what" 2>/dev/null ;;
    esac
}

# Sets `lacking` to the indices of the needs that are not met, whoever installed them.
lacking_needs() {
    local i
    lacking=()
    for i in "${!checks[@]}"; do
        [ "${checks[i]}" = none ] || is_there "${checks[i]}" || lacking+=("$i")
    done
}

# Explains `lacking` in the names of the system we are on.
explain() {
    local id="" id_like="" names="" unknown="" i name tool
    local -n column=debian
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        id=$(. /etc/os-release && echo "${ID:-}")
        # shellcheck source=/dev/null
        id_like=$(. /etc/os-release && echo "${ID_LIKE:-}")
    fi
    tool="apt-get install"
    case " $id $id_like " in
    *" fedora "* | *" rhel "* | *" centos "*) local -n column=fedora; tool="dnf install" ;;
    *" arch "*) local -n column=arch; tool="pacman -S" ;;
    *suse*) local -n column=suse; tool="zypper install" ;;
    *" alpine "*) local -n column=alpine; tool="apk add" ;;
    esac
    for i in "${lacking[@]}"; do
        name=${column[i]}
        if [ "$name" = - ]; then
            unknown+=" ${checks[i]#*:}"
        else
            case " $names " in *" $name "*) ;; *) names+=" $name" ;; esac
        fi
    done
    {
        echo "heapwalk needs some packages that are not installed. As root, run:"
        [ -z "$names" ] || echo "    $tool$names"
        [ -z "$unknown" ] || echo "  and install from source (no package is known):$unknown"
    } >&2
}

# ---- installing -----------------------------------------------------------------------------------

# Root as we are, or through sudo; without a terminal sudo must not ask for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ] && [ -t 2 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null >&2
}

# The package lists may be absent or too old to name a file that still exists, and another apt-get
# may hold the lock of the lists, for which there is no timeout option.
install_missing() {
    local attempt
    say "installing: ${missing[*]}"
    for attempt in 1 2 3 4 5; do
        if [ "$attempt" -gt 1 ] || ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then
            apt update || { sleep $((attempt * 5)); continue; }
        fi
        apt install --no-install-recommends "${missing[@]}" && return 0
        [ "$attempt" = 1 ] || sleep $((attempt * 5))
    done
    return 1
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    missing_packages
    if [ ${#missing[@]} = 0 ]; then
        say "nothing is missing"
        exit 0
    fi
    if [ "$mode" = install ] && can_be_root && install_missing; then
        exit 0
    fi
fi

# No apt-get, or it could not help: what counts is whether the things themselves are there.
lacking_needs
if [ ${#lacking[@]} = 0 ]; then
    say "nothing is missing"
    exit 0
fi
explain
exit 1
