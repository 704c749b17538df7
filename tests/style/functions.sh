#!/usr/bin/env bash
# A function is at most 70 lines from brace to brace. One that is better longer says why: the
# comment directly above it has "Long: reason".
. "$(dirname "$0")/lib.sh"
style_begin "$@"

style_named '\.[ch]$' | xargs -0r awk -v lines_max=70 -f "$style_here/functions.awk" | style_judge
