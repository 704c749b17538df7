#!/usr/bin/env bash
# Every .c of the layers has a test that includes its header: for doc_parse.c that is doc_parse.h,
# or doc.h when the module is divided over several files; with neither, the first header of its own
# folder that it includes, or a public one that this stands on. tests/style/untested.txt lists what
# has no such test, with the reason; a line there that is no longer true is a finding as well.
. "$(dirname "$0")/lib.sh"
style_begin "$@"

exceptions=tests/style/untested.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

{
    style_named '^tests/.*\.[ch]$' | xargs -0r grep -hoE '^#include "[^"]+"' /dev/null || true
} | sed 's/.*"\(.*\)"/\1/' | sort -u >"$work/included"

# own_includes FILE: the headers of its own folder that a file includes, in order.
own_includes() { sed -n "s|^#include \"\\($(dirname "$1")/[^/\"]*\\)\".*|\\1|p" "$1"; }

# Prints the headers of which a test must include one.
headers_of() {
    local source=$1 stem=${1%.c} first
    while [ ! -e "$stem.h" ] && [ "${stem%_*}" != "$stem" ]; do
        stem=${stem%_*}
    done
    if [ -e "$stem.h" ]; then
        printf '%s\n' "$stem.h"
        return
    fi
    first=$(own_includes "$source" | head -n 1)
    if [ -n "$first" ]; then
        printf '%s\n' "$first"
        [ ! -e "$first" ] || own_includes "$first"
    fi
}

reason_of() {
    [ -e "$exceptions" ] || return 0
    awk -v file="$1" '$1 == file { $1 = ""; print; exit }' "$exceptions"
}

{
    style_named '^(base|model|metrics|scheduler|executors|simulator)/.*\.c$' |
        while IFS= read -r -d '' source; do
            tested=0
            headers_of "$source" >"$work/headers"
            grep -qxFf "$work/headers" "$work/included" && tested=1
            reason=$(reason_of "$source")
            if [ "$tested" -eq 0 ] && [ -z "$reason" ]; then
                printf '%s:1: no test includes its header: write one, or give the reason in %s\n' \
                    "$source" "$exceptions"
            elif [ "$tested" -eq 1 ] && [ -n "$reason" ]; then
                printf '%s:1: has a test: take it out of %s\n' "$source" "$exceptions"
            fi
        done
    if [ -e "$exceptions" ]; then
        grep -nvE '^(#|$)' "$exceptions" | while IFS=: read -r number line; do
            file=${line%% *}
            [ -e "$file" ] || printf '%s:%s: %s is not there\n' "$exceptions" "$number" "$file"
            [ "$file" != "$line" ] ||
                printf '%s:%s: %s is listed without a reason\n' "$exceptions" "$number" "$file"
        done || true
    fi
} | style_judge
