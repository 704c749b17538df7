#!/usr/bin/env bash
# Functions that nobody calls here: they write without a bound, keep hidden state, or take anything
# for a number. base/banned.h says the same to the compiler; this reads also what is not compiled.
. "$(dirname "$0")/lib.sh"
style_begin "$@"

style_named '\.[ch]$' | xargs -0r awk -f "$style_here/c.awk" -f "$style_here/banned.awk" |
    style_judge
