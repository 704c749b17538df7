# What the style tests share. Each of them is `NAME.sh ROOT`: it prints "file:line: what is wrong
# and what to do" for each finding and exits with 1 if there was any. Sourced, never run.
# shellcheck shell=bash

set -euo pipefail
export LC_ALL=C.UTF-8

# style_begin ROOT: the tree to judge; all names that follow are relative to it.
style_begin() {
    if [ $# -ne 1 ] || [ ! -d "$1" ]; then
        printf 'usage: %s ROOT\n' "$0" >&2
        exit 2
    fi
    # shellcheck disable=SC2034
    style_here=$(cd "$(dirname "$0")" && pwd)
    cd "$1"
}

# Prints the project's files, without what was built, fetched or made for fuzzing; NUL between them.
style_files() {
    find . -type d \( -name .git -o -path ./build -o -path './build-*' -o -name node_modules \
        -o -path ./tests/fuzz/corpus \) -prune -o -type f ! -path ./.git -print0 |
        sort -z | sed -z 's|^\./||'
}

# style_named REGEX: those of the project's files whose name matches; NUL between them.
style_named() { style_files | { grep -zE -- "$1" || true; }; }

# style_judge: reads findings, prints them and ends the test: 1 if there was one, else 0.
style_judge() {
    local count=0 line
    while IFS= read -r line; do
        printf '%s\n' "$line"
        count=$((count + 1))
    done
    if [ "$count" -gt 0 ]; then
        printf '%s: %d findings\n' "$(basename "$0" .sh)" "$count"
        exit 1
    fi
    exit 0
}
