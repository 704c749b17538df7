#!/usr/bin/env bash
# What can be said of every text: no tabs, no blanks at the end of a line, lines of 100 columns and
# files of 900 lines in code, no marks of unfinished work, no host of a package registry, notebooks
# without outputs, and only programs are executable.
. "$(dirname "$0")/lib.sh"
style_begin "$@"

columns_max=100
lines_max=900
code='\.([ch]|sh|awk|js|mjs|py)$|^script/[^.]*$|^\.ci/run$'

# lines REGEX WHY: the lines of the files named on standard input that match, as findings.
lines() {
    { xargs -0r grep -InHE -- "$1" /dev/null || true; } |
        sed "s|^\\([^:]*:[0-9]*\\):.*|\\1: $2|"
}

{
    style_files | lines $'\t' 'a tab: indent with blanks'
    style_named "$code" | lines '[[:space:]]$' 'blanks at the end of the line'
    style_files | lines $'\r$' 'a carriage return: lines end with a newline alone'
    style_named "$code" | lines "^.{$((columns_max + 1)),}" "longer than $columns_max columns"
    # The brackets keep these lines from being findings themselves.
    style_files | lines '(^|[^[:alnum:]_])(TOD[O]|FIXM[E]|XX[X])([^[:alnum:]_]|$)' \
        'a mark of unfinished work: finish it or leave it out'
    hosts='(deb|security|snapshot)[.]debian[.]org|registry[.](npmjs|yarnpkg)[.](org|com)'
    style_files | lines "$hosts" 'the host of a registry: use what the machine has configured'

    style_named '\.ipynb$' | lines '"output_type"|"execution_count": [0-9]' \
        'an output in a notebook: Kernel, Restart & Clear Output, then save'

    style_named "$code" | while IFS= read -r -d '' file; do
        count=$(wc -l <"$file")
        [ "$count" -le "$lines_max" ] ||
            printf '%s:%d: more than %d lines: divide it by meaning\n' "$file" "$count" "$lines_max"
    done
    style_files | while IFS= read -r -d '' file; do
        IFS= read -r -N 2 start <"$file" 2>/dev/null || start=''
        if [ "$start" = '#!' ] && [ ! -x "$file" ]; then
            printf '%s:1: starts with #! and is not executable\n' "$file"
        elif [ "$start" != '#!' ] && [ -x "$file" ]; then
            printf '%s:1: is executable, but no program (chmod 644)\n' "$file"
        fi
        if [ -s "$file" ] && grep -qI . "$file" && [ -n "$(tail -c 1 "$file")" ]; then
            printf '%s:1: the last line does not end\n' "$file"
        fi
    done
} | style_judge
