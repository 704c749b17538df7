#!/usr/bin/env bash
# labels.sh BUILD: every test of the build folder has a label that script/test runs (or bench, which
# is run by hand); a test with another one would pass by never running.
. "$(dirname "$0")/lib.sh"
style_begin "$@"

ctest -N --label-exclude '^(unit|property|fuzz|fault|live|style|bench)$' |
    sed -n 's/^ *Test *#[0-9]*: \(.*\)/\1: has none of the labels that script\/test runs/p' |
    style_judge
