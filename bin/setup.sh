# Common part of the scripts in bin/ (POSIX sh; sourced, not run). It makes what they need, once, and is silent when nothing is missing:
#   need_python runtime|dev   the virtual environment .venv with the locked requirements and this project in it
#   need_broker               Debian's RabbitMQ (its programs only: no service of the machine is used or started)
#   need_database             Debian's PostgreSQL, and openssl: for the tests (programs only, as above)
#   need_token                SoftHSM2, a PKCS#11 token in software, with OpenSSL's engine for it and stunnel: for the tests
#   need_tests                all of these
# Variables that change it:
#   RENKEI_PYTHON             the Python (3.11 or newer) to make .venv with
#   RENKEI_VENV               use this virtual environment as it is, and install nothing into it
#   RENKEI_RABBITMQ_HOME      use the RabbitMQ unpacked there, and install none

renkei_home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
venv=${RENKEI_VENV:-$renkei_home/.venv}
setup_log=$renkei_home/var/log/setup.log

say() { printf 'renkei: %s\n' "$*" >&2; }
give_up() { say "$*"; exit 1; }

# Runs one step of the set-up: its output goes to the log and is shown only if it fails.
step() {
    step_says=$1
    shift
    say "$step_says"
    printf '\n== %s\n' "$step_says" >>"$setup_log"
    "$@" >>"$setup_log" 2>&1
}

failed() {
    tail -n 25 "$setup_log" >&2
    give_up "$1 (the whole output is in var/log/setup.log)"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        say "this needs root and there is no sudo; as root, run: $*"
        return 1
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# While Debian's packages are installed, its service scripts are told not to start anything, so that no node appears on 5672 or 5432
# beside one that may already be there. A policy of the machine's own is left as it is.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || give_up "missing on this machine: $*. Install it by the means of your system and start again."
    policy=/usr/sbin/policy-rc.d
    policy_is_ours=no
    if [ ! -e "$policy" ]; then
        policy_file=$(mktemp) || exit 1
        printf '#!/bin/sh\nexit 101\n' >"$policy_file"
        as_root install -m 0755 "$policy_file" "$policy" && policy_is_ours=yes
        rm -f "$policy_file"
        trap 'as_root rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM HUP
    fi
    installed=yes
    step "installing $* (Debian package)" apt_get install --no-install-recommends "$@" \
        || { step "refreshing the list of Debian packages" apt_get update \
            && step "installing $* (Debian package)" apt_get install --no-install-recommends "$@"; } \
        || installed=no
    if [ "$policy_is_ours" = yes ]; then
        as_root rm -f "$policy"
        trap - EXIT INT TERM HUP
    fi
    [ "$installed" = yes ] || failed "could not install $*"
}

# One set-up at a time in one folder; others wait here.
setup_begin() {
    mkdir -p "$renkei_home/var/log" || exit 1
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$renkei_home/var/setup.lock"
        flock 9
    fi
}

setup_end() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>&-
    fi
}

python_is_new_enough() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# The distribution's Python comes first: it is built with profile-guided optimization, one that was built by hand often is not, and then
# takes 1.6 times as long for the same work.
find_python() {
    for needed in 'ensurepip, venv' sys; do
        for python in ${RENKEI_PYTHON:-/usr/bin/python3 python3.11 python3 python3.12 python3.13}; do
            if python_is_new_enough "$python" && "$python" -c "import $needed" >/dev/null 2>&1; then
                return 0
            fi
        done
    done
    return 1
}

make_venv() {
    find_python || {
        [ -z "${RENKEI_PYTHON:-}" ] || give_up "RENKEI_PYTHON=$RENKEI_PYTHON is not a Python 3.11 or newer"
        apt_install python3 python3-venv
        find_python || give_up "no Python 3.11 or newer found; install one, or name it in RENKEI_PYTHON"
    }
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        # The Python of Debian comes without them.
        apt_install python3-venv
        "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || python=/usr/bin/python3
    fi
    step "making the virtual environment .venv" "$python" -m venv --clear "$venv" || failed "could not make $venv"
}

# What the environment was made from. The folder is part of it, since a virtual environment cannot be moved.
fingerprint() {
    (cd "$renkei_home" && { printf '%s\n' "$renkei_home" "$1"; cat "$1" pyproject.toml; } | sha256sum | cut -d ' ' -f 1)
}

is_made_from() {
    [ -x "$venv/bin/python" ] && [ -r "$venv/$1.made-from" ] && [ "$(cat "$venv/$1.made-from")" = "$(fingerprint "$1")" ]
}

need_python() {
    [ -z "${RENKEI_VENV:-}" ] || return 0
    case $1 in
        runtime) is_made_from requirements.lock || is_made_from requirements-dev.lock ;;
        dev) is_made_from requirements-dev.lock ;;
    esac && return 0
    lock=requirements.lock
    if [ "$1" = dev ]; then
        lock=requirements-dev.lock
    fi
    setup_begin
    if ! is_made_from "$lock"; then
        if [ ! -x "$venv/bin/pip" ] || ! "$venv/bin/python" -c 'import sys' >/dev/null 2>&1 \
            || [ "$(cat "$venv/home.made-from" 2>/dev/null)" != "$renkei_home" ]; then
            make_venv
        fi
        printf '%s\n' "$renkei_home" >"$venv/home.made-from"
        step "installing the locked requirements (once; a minute or two)" \
            "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r "$renkei_home/$lock" \
            || failed "could not install $lock: is the package index that pip is configured for within reach?"
        step "installing renkei-gateway itself" \
            "$venv/bin/python" -m pip install --disable-pip-version-check --no-build-isolation --no-index --no-deps -e "$renkei_home" \
            || failed "could not install this project into $venv"
        fingerprint "$lock" >"$venv/$lock.made-from"
    fi
    setup_end
}

need_broker() {
    [ -z "${RENKEI_RABBITMQ_HOME:-}" ] || return 0
    [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || return 0
    setup_begin
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || apt_install rabbitmq-server
    setup_end
}

has_database() {
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ ! -x "$initdb" ] || return 0
    done
    return 1
}

need_database() {
    if has_database && command -v openssl >/dev/null 2>&1; then
        return 0
    fi
    setup_begin
    has_database || apt_install postgresql
    command -v openssl >/dev/null 2>&1 || apt_install openssl
    setup_end
}

# The font whose names of characters (MJ) the tests go through, all of them; nothing is drawn with it.
need_font() {
    for font in /usr/share/fonts/*/*/ipamjm.ttf; do
        [ ! -e "$font" ] || return 0
    done
    setup_begin
    apt_install fonts-ipamj-mincho
    setup_end
}

need_token() {
    if [ -e /usr/lib/softhsm/libsofthsm2.so ] && command -v stunnel >/dev/null 2>&1 && ls /usr/lib/*/engines-3/pkcs11.so >/dev/null 2>&1; then
        return 0
    fi
    setup_begin
    apt_install softhsm2 stunnel4 libengine-pkcs11-openssl
    setup_end
}

# The program that judges our signatures and encryption in the tests.
need_xmlsec() {
    if command -v xmlsec1 >/dev/null 2>&1; then
        return 0
    fi
    setup_begin
    command -v xmlsec1 >/dev/null 2>&1 || apt_install xmlsec1
    setup_end
}

need_tests() {
    need_python dev
    need_broker
    need_database
    need_font
    need_token
    need_xmlsec
}
