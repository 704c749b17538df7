#!/usr/bin/env bash
# Arrows point downward only: which layer may include which, which system libraries belong where,
# and that the two pure machines see neither clock, socket, file, thread nor document. The tables
# are at the top of layering.awk.
. "$(dirname "$0")/lib.sh"
style_begin "$@"

style_named '\.[ch]$' | xargs -0r awk -f "$style_here/c.awk" -f "$style_here/layering.awk" |
    style_judge
