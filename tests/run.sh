#!/bin/sh
# All tests. Sets up what they need beyond Rust and a C compiler: cmake and make, with which the cfitsio that judges
# our files is built from the source in its crate.
set -eu
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

if ! command -v cmake >/dev/null 2>&1 || ! command -v make >/dev/null 2>&1; then
    if command -v apt-get >/dev/null 2>&1; then
        echo "run.sh: installing cmake and make" >&2
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q cmake make
    else
        echo "run.sh: cmake and make are needed; install them with this system's packages" >&2
        exit 1
    fi
fi

cargo test "$@"
