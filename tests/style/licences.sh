#!/usr/bin/env bash
# licences.sh ROOT [BIN]: GLPK (GPL-3) is linked by berth-solve alone, and an edge node carries no
# solver, no SQLite and no libcurl. Judges the build files, and the programs in BIN if it is given.
bin=''
if [ $# -eq 2 ]; then
    bin=$2
    set -- "$1"
fi
. "$(dirname "$0")/lib.sh"
[ -z "$bin" ] || bin=$(cd "$bin" 2>/dev/null && pwd) || bin=''
style_begin "$@"

needed() { readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(lib[^.]*\)\..*/\1/p'; }

# refuse PROGRAM WHY LIBRARY...: a finding for each of the libraries that the program needs.
refuse() {
    local program=$1 why=$2 library
    shift 2
    for library in "$@"; do
        if needed "$bin/$program" | grep -qxF "$library"; then
            printf '%s: needs %s: %s\n' "$program" "$library" "$why"
        fi
    done
}

{
    style_named '(^|/)CMakeLists\.txt$' | { grep -zvE '^(CMakeLists\.txt|model/.*)$' || true; } |
        xargs -0r grep -nHE 'GLPK_(LIBRARY|INCLUDE)' /dev/null |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: only berth-solve links GLPK, in model\//' || true
    if [ -n "$bin" ]; then
        for path in "$bin"/*; do
            program=${path##*/}
            if [ ! -f "$path" ] || ! readelf -h "$path" >/dev/null 2>&1; then
                continue
            fi
            case "$program" in
                berth-solve)
                    needed "$path" | grep -qxF libglpk ||
                        printf 'berth-solve: does not need libglpk: is this test blind?\n'
                    ;;
                # Built where they are run and given to nobody: tests and benchmarks of the engine.
                bench_dual | bench_primal | bench_public | bench_whatif | bench_openb) ;;
                bench_graphs | bench_solver | fuzz_engine | test_follow* | test_peer) ;;
                test_dual* | test_primal* | test_engine* | test_warm*) ;;
                test_conflict* | test_classes* | test_tiers* | test_subsets* | test_openb) ;;
                *) refuse "$program" "berth-solve alone links GLPK (GPL-3)" libglpk ;;
            esac
            case "$program" in
                berth-node | berth-shim) refuse "$program" "an edge node does without" \
                    libsqlite3 libcurl libcurl-gnutls ;;
            esac
        done
    fi
} | style_judge
