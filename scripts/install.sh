#!/bin/sh
# scripts/install.sh PYTHON VENV REQUIREMENTS: makes the environment anew and installs what the file pins.
#
# Each download is checked against the hash in the file, whichever program installs it. uv takes seconds where pip
# takes a minute and a half; it comes from the index by its own hash when it is not on the PATH. Where there is no uv
# for a machine, or it cannot reach the index, pip does the work.
set -eu
python=$1 venv=$2 requirements=$3
lock=$(dirname "$0")/../requirements-dev.txt # it pins uv, too
PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_DISABLE_PIP_VERSION_CHECK

# Debian without python3-venv has no ensurepip, but its pip can install into an environment that has none.
"$python" -m venv --clear "$venv" >/dev/null 2>&1 || "$python" -m venv --clear --without-pip "$venv"
if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    pip() { "$venv/bin/python" -m pip "$@"; }
else
    pip() { "$python" -m pip --python "$venv/bin/python" "$@"; }
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
uv=$(command -v uv || true)
if [ -z "$uv" ] || ! "$uv" --version >/dev/null 2>&1; then # shims of version managers exist for what is not there
    awk '/^uv==/ { inside = 1 } inside { print } inside && !/\\$/ { exit }' "$lock" >"$scratch/uv.txt"
    pip install -q --no-deps --only-binary :all: --require-hashes --target "$scratch/uv" -r "$scratch/uv.txt" \
        >/dev/null 2>&1 || true
    uv=$scratch/uv/bin/uv
fi

# uv reads nothing of pip's configuration: it is told of the index and of the certificate that stand there.
of_pip() { pip config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1; }
mirror=$(of_pip index-url) certificate=$(of_pip cert)
[ -n "${UV_DEFAULT_INDEX-}${UV_INDEX_URL-}" ] || [ -z "$mirror" ] || export UV_DEFAULT_INDEX="$mirror"
[ -n "${SSL_CERT_FILE-}" ] || [ -z "$certificate" ] || export SSL_CERT_FILE="$certificate"

# Compiled now as pip does, or each start of a process would compile what it imports where bytecode cannot be written.
if [ -x "$uv" ] && "$uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes -r "$requirements"; then
    exit 0
fi
echo "without uv: pip installs the requirements, which takes a minute or two" >&2
pip install -q --require-hashes -r "$requirements"
