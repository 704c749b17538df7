#!/usr/bin/env bash
# A header is its module's manual: it opens with a comment, and is included once.
. "$(dirname "$0")/lib.sh"
style_begin "$@"

# shellcheck disable=SC2016
style_named '\.h$' | xargs -0r awk '
    function judge() {
        if (name != "" && !once)
            printf "%s:1: no \"#pragma once\"\n", name
    }
    FNR == 1 {
        judge()
        name = FILENAME
        once = 0
        if ($0 !~ /^\/[*\/]/)
            printf "%s:1: does not open with a comment that says what the module is\n", FILENAME
    }
    $0 == "#pragma once" { once = 1 }
    END { judge() }' | style_judge
