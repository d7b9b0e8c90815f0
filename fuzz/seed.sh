#!/bin/sh
# Puts the small files of tests/data into corpus/TARGET of each target, where cargo-fuzz looks: nothing is stored twice.
set -eu
cd "$(dirname "$0")"
for target in header sections layouts roundtrip; do
    mkdir -p "corpus/$target"
    find ../tests/data/images ../tests/data/compressed -name '*.fits' -size -25k -exec cp {} "corpus/$target" ';'
done
