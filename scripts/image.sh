#!/usr/bin/env bash
# scripts/image.sh build       builds IMAGE (default esp-tvm) from STAGE (pipeline or full); prints time and size
# scripts/image.sh check       runs the demo in it as an unprivileged user, compares the project with the one made here
# scripts/image.sh run TARGET  runs a target of make in it, with this folder as /project and the variables that are set
# scripts/image.sh shell       a shell in it
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# DOCKER=1 of the calling make must not be passed on to a make that this script calls.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES DOCKER
stage=${STAGE:-pipeline}
image=${IMAGE:-esp-tvm}
[ -n "${IMAGE:-}" ] || [ "$stage" != full ] || image=esp-tvm-full

fail() {
    echo "error: $*" >&2
    exit 2
}
# shellcheck source=scripts/port.sh
. scripts/port.sh
# shellcheck source=scripts/file-variables.sh
. scripts/file-variables.sh

need_engine() {
    command -v docker >/dev/null || fail "docker is not on PATH; install it, or type: make image-test (as root on Debian)"
    docker info >/dev/null 2>&1 || fail "no docker engine answers; start one, or type: make image-test (as root on Debian)"
}

need_image() {
    need_engine
    docker image inspect "$image" >/dev/null 2>&1 || fail "there is no image $image; type: make image"
}

# A container sees this folder as /project. Other files that a variable names are mounted at their own path.
mount_options() {
    mounts=(-v "$PWD:/project")
    user=$(id -u):$(id -g)
}

pass() { # NAME: adds its value to `words`, and a mount where it names a file outside this folder
    local name=$1 value=${!1} folder mode=,readonly
    if names_file "$name"; then
        case $value in
        "$PWD"/*) value=${value#"$PWD"/} ;;
        /* | ../*)
            value=$(readlink -m -- "$value")
            folder=$value
            if [ "$name" = OUT ] || [ "$name" = DEST ]; then
                mkdir -p -- "$folder"
                mode=
            elif [ ! -d "$folder" ]; then
                folder=$(dirname -- "$folder")
            fi
            case $folder in *,*) fail "$name=$value: a container cannot see a folder with a comma in its name" ;; esac
            [ ! -d "$folder" ] || mounts+=(--mount "type=bind,source=$folder,target=$folder$mode")
            ;;
        esac
    fi
    words+=("$name=$value")
}

case ${1:-} in
build)
    need_engine
    case $stage in pipeline | full) ;; *) fail "STAGE=$stage is neither pipeline nor full" ;; esac
    # TVM's library and the wheels are for this platform; on another the engine emulates it.
    options=(--target "$stage" --tag "$image" --platform linux/amd64)
    export VERSION
    VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' tools/esp_tvm/__init__.py)
    REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || true)}
    for name in PYTHON_IMAGE IDF_IMAGE PYTHON_BUILD PYTHON_BUILD_SHA256 APT_SNAPSHOT SOURCE_DATE_EPOCH VERSION REVISION SOURCE; do
        [ -z "${!name:-}" ] || options+=(--build-arg "$name=${!name}")
    done
    [ -z "${NETWORK:-}" ] || options+=(--network "$NETWORK")
    [ -z "${APT_CONF:-}" ] || options+=(--secret "id=apt.conf,src=$APT_CONF")
    [ -z "${PIP_CONF:-}" ] || options+=(--secret "id=pip.conf,src=$PIP_CONF")
    [ -z "${CA_CERT:-}" ] || options+=(--secret "id=ca.crt,src=$CA_CERT")
    begin=$SECONDS
    DOCKER_BUILDKIT=1 docker build --progress plain "${options[@]}" .
    echo "$image: built in $((SECONDS - begin)) s, $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000)) MB"
    ;;
check)
    need_image
    exec scripts/image-check.sh "$image"
    ;;
run)
    target=${2:?usage: scripts/image.sh run TARGET}
    need_image
    mount_options
    words=("$target")
    in_container "${PORT:-}"
    [ -z "$port_inside" ] || PORT=$port_inside
    mounts+=("${port_options[@]}")
    # Variables reach us through the environment; those are passed on that `make help` names.
    for name in $(make -s help | grep -oE '\b[A-Z][A-Z0-9_]+\b' | sort -u); do
        case $name in PYTHON | CC | IMAGE | STAGE | DOCKER | PATH | HOME) continue ;; esac
        [ -z "${!name:-}" ] || pass "$name"
    done
    interactive=(-i)
    if [ -t 0 ] && [ -t 1 ]; then interactive=(-it); fi
    exec docker run --rm "${interactive[@]}" -u "$user" "${mounts[@]}" "$image" "${words[@]}"
    ;;
shell)
    need_image
    mount_options
    exec docker run --rm -it -u "$user" "${mounts[@]}" "$image" shell
    ;;
*) fail "usage: scripts/image.sh build|check|run TARGET|shell" ;;
esac
