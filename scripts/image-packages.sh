#!/usr/bin/env bash
# Run while the image is built, as root: installs the Debian packages of the lists (as system-packages.sh does) and
# leaves nothing behind that differs from build to build.
#   scripts/image-packages.sh LIST ...
# APT_SNAPSHOT=20250901T000000Z takes all packages as they were then, from the archives that Debian and Ubuntu keep.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

if [ -n "${APT_SNAPSHOT:-}" ]; then
    [[ $APT_SNAPSHOT =~ ^[0-9]{8}T[0-9]{6}Z$ ]] || {
        echo "error: APT_SNAPSHOT=$APT_SNAPSHOT is no time as 20250901T000000Z" >&2
        exit 2
    }
    # shellcheck disable=SC1091
    . /etc/os-release
    archive=http://snapshot.debian.org/archive
    case $ID in
    debian)
        sources="deb [check-valid-until=no] $archive/debian/$APT_SNAPSHOT $VERSION_CODENAME main
deb [check-valid-until=no] $archive/debian/$APT_SNAPSHOT $VERSION_CODENAME-updates main
deb [check-valid-until=no] $archive/debian-security/$APT_SNAPSHOT $VERSION_CODENAME-security main"
        ;;
    ubuntu)
        archive=http://snapshot.ubuntu.com/ubuntu
        sources=
        for suite in "$VERSION_CODENAME" "$VERSION_CODENAME-updates" "$VERSION_CODENAME-security"; do
            sources+="deb [check-valid-until=no] $archive/$APT_SNAPSHOT $suite main universe"$'\n'
        done
        ;;
    *)
        echo "error: there is no archive of $ID's packages that APT_SNAPSHOT could name" >&2
        exit 2
        ;;
    esac
    rm -f /etc/apt/sources.list.d/*
    echo "$sources" >/etc/apt/sources.list
fi
"$here/system-packages.sh" "$@"
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/cache/debconf/*-old /var/lib/dpkg/*-old \
    /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /tmp/* /var/tmp/*
