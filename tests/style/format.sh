#!/usr/bin/env bash
# format.sh [--fix] ROOT: every C file is as clang-format 14 writes it. Other versions lay out some
# lines differently, so without version 14 the test is skipped (77) and says so.
fix=0
if [ "${1:-}" = --fix ]; then
    fix=1
    shift
fi
. "$(dirname "$0")/lib.sh"
style_begin "$@"

formatter=''
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    echo "format: skipped, the format is judged by clang-format 14 (Debian 12) and it is not here"
    exit 77
fi
if [ "$fix" -eq 1 ]; then
    style_named '\.[ch]$' | xargs -0r "$formatter" -i
    exit 0
fi
style_named '\.[ch]$' | xargs -0r "$formatter" --dry-run -Werror 2>&1 |
    sed -n 's/^\([^ :][^:]*\):\([0-9]*\):[0-9]*: error: .*/\1 \2/p' |
    awk '!seen[$1]++ { print $1 ":" $2 ": not as clang-format writes it: script/check --fix" }' |
    style_judge
