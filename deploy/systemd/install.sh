#!/bin/sh
# Installs the service of this checkout under systemd, or brings an installation to this checkout's version.
# Safe to run again: settings, secrets, and whatever else you changed below /etc/auth-service stay.
set -eu
umask 022

usage() {
    cat <<EOF
Usage: install.sh [--dry-run]

  --dry-run   print each step and change nothing

PYTHON=/path/to/python3.13 chooses the interpreter. DESTDIR=/some/folder puts everything below that folder, as for a
package: then root is not needed and systemd is not told.
EOF
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

dry=
for argument in "$@"; do
    case $argument in
        --dry-run) dry=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

source=$(cd "$(dirname "$0")/../.." && pwd)
root=${DESTDIR:-}
home=$root/opt/auth-service
etc=$root/etc/auth-service
units=$root/etc/systemd/system

step() {
    echo "==> $*"
}

run() {
    if [ -n "$dry" ]; then
        echo "    would run: $*"
    else
        "$@"
    fi
}

# write MODE FILE COMMAND...: what the command prints becomes the file, which is never readable by others meanwhile.
write() {
    mode=$1 file=$2
    shift 2
    if [ -n "$dry" ]; then
        echo "    would write $file (mode $mode) with what this prints: $*"
    else
        (umask 077 && "$@" >"$file.new")
        chmod "$mode" "$file.new"
        mv "$file.new" "$file"
    fi
}

production_settings() { sed 's/^APP_ENV=.*/APP_ENV=production/' "$source/.env.example"; }
new_secret() { head -c 48 /dev/urandom | base64 | tr -d '\n'; }

find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

python=$(find_python)
[ -n "$python" ] || fail "no Python 3.11 to 3.14 with venv was found: install one (on Debian also python3-venv), or name it with PYTHON="
[ -f "$source/requirements.txt" ] || fail "$source is no checkout of the service: requirements.txt is missing"
if [ -z "$dry" ] && [ -z "$root" ]; then
    [ "$(id -u)" = 0 ] || fail "this writes to /opt and /etc: run it as root, or with --dry-run to see what it would do"
    command -v systemctl >/dev/null || fail "there is no systemctl here: the units need systemd 250 or newer"
fi

step "the program: $home"
run mkdir -p "$home"
for part in auth_service docs; do
    run rm -rf "$home/$part.new"
    run cp -R "$source/$part" "$home/$part.new"
    run rm -rf "$home/$part"
    run mv "$home/$part.new" "$home/$part"
done
run chmod -R u=rwX,go=rX "$home/auth_service" "$home/docs"

step "its environment: $home/.venv, by $python, each package checked by hash"
if cmp -s "$source/requirements.txt" "$home/.venv/requirements.txt"; then
    echo "    is there already, with these requirements"
else
    run rm -rf "$home/.venv"
    run "$source/scripts/install.sh" "$python" "$home/.venv" "$source/requirements.txt"
    run cp "$source/requirements.txt" "$home/.venv/requirements.txt" # last: an interrupted installation is done again
fi

step "settings: $etc"
run mkdir -p "$etc"
run mkdir -p -m 700 "$etc/secrets"
if [ -e "$etc/env" ]; then
    echo "    $etc/env stays as it is"
else
    write 600 "$etc/env" production_settings
fi
if [ -e "$etc/secrets/secret_key" ]; then
    echo "    the secret key stays as it is"
else
    write 600 "$etc/secrets/secret_key" new_secret
fi
missing=
for name in database_url redis_url; do
    [ -e "$etc/secrets/$name" ] || write 600 "$etc/secrets/$name" true
    [ -s "$etc/secrets/$name" ] || missing="$missing $etc/secrets/$name"
done

step "units: $units"
run mkdir -p "$units"
for unit in auth-service auth-service-migrate; do
    run mkdir -p "$units/$unit.service.d"
    run install -m 644 "$source/deploy/systemd/$unit.service" "$units/$unit.service"
    run install -m 644 "$source/deploy/systemd/hardening.conf" "$units/$unit.service.d/hardening.conf"
done
if [ -z "$root" ]; then
    run systemctl daemon-reload
    run systemctl enable auth-service.service
fi

step "what is left to you"
[ -z "$missing" ] || echo "    write the addresses of the stores, one line each, into:$missing"
echo "    set ISSUER, ALLOWED_HOSTS and TRUSTED_PROXIES in $etc/env"
echo "    systemctl restart auth-service-migrate auth-service"
[ -z "$dry" ] || echo "Nothing was changed."
