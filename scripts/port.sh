# PORT, for the scripts that are given one (sourced; they define fail): a serial device, or one on another computer as
# pyserial names it, which esptool and ESP-IDF's monitor take as well. That is the way into containers, WSL and macOS:
#   rfc2217://HOST:NUMBER   there runs `esp_rfc2217_server -p NUMBER DEVICE` (it comes with esptool)
#   socket://HOST:NUMBER    the bytes alone: enough to monitor, flash needs a board that is in download mode
# shellcheck shell=bash disable=SC2034
remote_port='^([Rr][Ff][Cc]2217|[Ss][Oo][Cc][Kk][Ee][Tt])://([^/?]+):([0-9]+)(/?\?.*)?$'

check_port() { # port
    case $1 in
    *://*)
        [[ $1 =~ $remote_port ]] ||
            fail "PORT=$1: a port on another computer is rfc2217://HOST:NUMBER or socket://HOST:NUMBER"
        ;;
    *)
        [ -z "$1" ] || [ -e "$1" ] ||
            fail "PORT=$1 does not exist; plug the board in, or name its device (ls /dev/ttyUSB* /dev/ttyACM*)"
        ;;
    esac
}

# Sets port_inside, the port's name in a container, and port_options, what `docker run` needs for it.
in_container() { # port
    port_inside=$1
    port_options=()
    if [[ $1 =~ $remote_port ]]; then
        # This computer's name in a container; there localhost is the container itself.
        port_options=(--add-host host.docker.internal:host-gateway)
        case ${BASH_REMATCH[2]} in
        localhost | 127.* | '[::1]')
            port_inside="${BASH_REMATCH[1]}://host.docker.internal:${BASH_REMATCH[3]}${BASH_REMATCH[4]}"
            ;;
        esac
    elif [ -e "$1" ]; then
        port_options=(--device "$1" --group-add "$(stat -c %g "$1")")
    fi
}
