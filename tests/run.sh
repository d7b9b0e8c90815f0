#!/bin/sh
# All tests. Sets up what they need beyond Rust and a C compiler: cmake, make and a C++ compiler, with which the cfitsio
# that judges our files is built from the source in its crate.
set -eu
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=
for tool in cmake make c++; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    if command -v apt-get >/dev/null 2>&1; then
        echo "run.sh: installing$missing" >&2
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q cmake make g++
    else
        echo "run.sh: needed, but not found:$missing; install them with this system's packages" >&2
        exit 1
    fi
fi

cargo test "$@"
