# What the shell tests of tests/live share: the built programs in $bin, the source in $source, a
# server for `berth up`, a folder $work below the scratch folder that goes when the test ends, and
# the words run, says, says_not, until_true and fail. Sourced first, never run:
#
#     . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#     live_begin BIN SCRATCH
#
# A test may set $background to a pid that is to be ended with it, and say_why to a function that
# tells more about a failure. BERTH_DIR is $work/berth.
# shellcheck shell=bash

set -euo pipefail

live_begin() {
    live_name=$(basename "$0" .sh)
    bin=$(cd "${1:?usage: $live_name.sh BIN SCRATCH}" && pwd)
    source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    BERTH_NATS_SERVER=${BERTH_NATS_SERVER:-$("$source/script/nats-server")}
    work=$(mktemp -d "${2:?usage: $live_name.sh BIN SCRATCH}/${live_name#test_}.XXXXXX")
    mkdir "$work/home" "$work/tmp" "$work/here"
    export BERTH_NATS_SERVER BERTH_DIR=$work/berth HOME=$work/home TMPDIR=$work/tmp NO_COLOR=1
    background=''
    step=''
    trap live_end EXIT
    cd "$work/here"
}

live_end() {
    local status=$?
    trap - EXIT
    [ -z "$background" ] || kill "$background" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        printf '%s: failed; %s\n' "$live_name" "$step"
        if declare -F say_why >/dev/null; then say_why || true; fi
    fi
    "$bin/berth" down --dir "$work/berth" >/dev/null 2>&1 || true
    wait 2>/dev/null || true
    [ "$status" -eq 0 ] || tail -n 20 "$work/berth"/log/*.log 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}

fail() { printf '%s: %s: %s\n' "$live_name" "$step" "$*"; exit 1; }

# run STATUS COMMAND...: the exit status is that one; $out has what it said. Of every plan a
# certificate is written, and verified.
run() {
    local wanted=$1 status=0
    shift
    step="berth $*"
    local certificate=$work/tmp/run.cert
    if [ "$1" = plan ] && [ "$wanted" -ne 1 ] && [[ " $* " != *' --certificate '* ]]; then
        set -- "$@" --certificate "$certificate"
    fi
    out=$("$bin/berth" "$@" 2>&1 </dev/null) || status=$?
    [ "$status" -eq "$wanted" ] || fail "ended with $status, wanted $wanted: $out"
    if [ -e "$certificate" ]; then
        "$bin/berth" verify-plan "$certificate" >"$certificate.out" 2>&1 ||
            fail "its plan is not verified: $(cat "$certificate.out")"
        rm -f "$certificate" "$certificate.out"
    fi
}
says() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" <<<"$out" || fail "does not say '$text' but: $out"
    done
}
says_not() { ! grep -qF -- "$1" <<<"$out" || fail "says '$1': $out"; }

# until_true COMMAND...: looks ten times a second, for at most two minutes.
until_true() {
    local i
    for ((i = 0; i < 1200; i++)); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    fail "never came true: $*"
}
