#!/usr/bin/env bash
# selftest.sh SCRATCH: a style test that cannot fail is worth nothing. Each is shown a small tree
# that is in order, where it must pass, and the same tree with one thing wrong, where it must find
# exactly that file. The trees live in a folder of their own below SCRATCH and are removed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d "${1:?usage: selftest.sh SCRATCH}/style.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# Counted in files: much of what follows runs at the end of a pipe, in a process of its own.
: >"$scratch/cases"
: >"$scratch/failures"
begin() { echo case >>"$scratch/cases"; }
complain() { printf 'selftest: %s\n' "$*" | tee -a "$scratch/failures"; }

# in_order DIRECTORY: a tree in which every rule is kept.
in_order() {
    mkdir -p "$1"/{base,model/solve,scheduler/core,tests/unit,tests/style,script}
    cp "$repository/.clang-format" "$1/"
    cat >"$1/base/a.h" <<'END'
/*
 * a: the number one. Any thread.
 */
#pragma once

#include <stdint.h>

int32_t a_one(void);
END
    cat >"$1/base/a.c" <<'END'
#include "base/a.h"

/* strcpy(to, from) in a comment is no call, and "sprintf(" in a string is none either. */
const char *const a_text = "strcpy(to, from)";

int32_t a_one(void)
{
    return 1;
}
END
    cp "$1/base/a.c" "$1/scheduler/core/b.c"
    sed 's|"base/a.h"|"scheduler/core/b.h"|' -i "$1/scheduler/core/b.c"
    cp "$1/base/a.h" "$1/scheduler/core/b.h"
    printf '#include "scheduler/core/b.h"\n#include <glpk.h>\n' >"$1/model/solve/s.c"
    printf '#include "base/a.h"\n#include "scheduler/core/b.h"\n' >"$1/tests/unit/test_a.c"
    sed -i 's|scheduler/core/b|base/a|' "$1/model/solve/s.c"
    printf '# What has no test.\nmodel/solve/s.c a program\n' >"$1/tests/style/untested.txt"
    printf '#!/bin/sh\necho one\n' >"$1/script/one"
    chmod 755 "$1/script/one"
}

# finds RULE FILE TEXT: with standard input as FILE (and the mode it has), RULE fails and its output
# has a line that starts with FILE and contains TEXT, and no line about another file.
finds() {
    local rule=$1 file=$2 text=$3 tree=$scratch/tree output status=0
    begin
    rm -rf "$tree"
    in_order "$tree"
    mkdir -p "$tree/$(dirname "$file")"
    cat >"$tree/$file"
    [ "${mode:-}" = '' ] || chmod "$mode" "$tree/$file"
    output=$("$here/$rule.sh" "$tree" 2>&1) || status=$?
    if [ "$status" -eq 77 ]; then
        return 0
    elif [ "$status" -ne 1 ]; then
        complain "$rule ended with $status for a bad $file, wanted 1: $text"
    elif ! grep -F -- "$file" <<<"$output" | grep -qF -- "$text"; then
        complain "$rule did not say '$text' of $file but: $output"
    elif grep -vF -- "$file" <<<"$output" | grep -qvE "^$rule: "; then
        complain "$rule complained about more than $file: $output"
    fi
}

passes() {
    local rule=$1 status=0 output
    shift
    begin
    output=$("$here/$rule.sh" "$@" 2>&1) || status=$?
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
        complain "$rule ended with $status for what is in order: $output"
    fi
}

# fails RULE TEXT ARGUMENT...: for what is not a file of the tree.
fails() {
    local rule=$1 text=$2 status=0 output
    shift 2
    begin
    output=$("$here/$rule.sh" "$@" 2>&1) || status=$?
    if [ "$status" -ne 1 ] || ! grep -qF -- "$text" <<<"$output"; then
        complain "$rule ended with $status, wanted 1 and '$text': $output"
    fi
}

# body LINES: a function of that many lines from brace to brace.
body() {
    printf 'void a_long(int first,\n            int second)\n{\n'
    local i
    for ((i = 2; i < $1; i++)); do printf '    ;\n'; done
    printf '}\n'
}

in_order "$scratch/good"
for rule in layering banned functions headers text tested format licences; do
    passes "$rule" "$scratch/good"
done

# ---- layering ------------------------------------------------------------------------------------
include() { printf '#include %s\n' "$1"; }
include '"model/x.h"' | finds layering base/x.c 'base may not include "model/x.h"'
include '"metrics/x.h"' | finds layering model/x.c 'model may not include'
include '"scheduler/core/b.h"' | finds layering metrics/x.c 'metrics may not include'
include '"metrics/window.h"' | finds layering scheduler/core/x.c 'scheduler/core may not include'
include '"scheduler/cli/x.h"' | finds layering scheduler/service/x.c 'may not include'
include '"scheduler/service/x.h"' | finds layering simulator/x.c 'simulator may not include'
include '"model/x.h"' | finds layering executors/node/x.c 'executors may not include'
include '"metrics/window.h"' | finds layering executors/node/x.c 'executors may not include'
include '"metrics/window.h"' | finds layering metrics/sketch.h 'edge-metrics may not include'
include '"executors/drivers/x.h"' | finds layering executors/node/core/x.c 'may not include'
include '"tests/unit/x.h"' | finds layering base/x.c 'base may not include'
include '"x.h"' | finds layering base/x.c 'is in no layer'
include '<glpk.h>' | finds layering model/x.c '<glpk.h> belongs only to'
include '<glpk.h>' | finds layering tests/unit/x.c '<glpk.h> belongs only to'
include '<sqlite3.h>' | finds layering scheduler/web/x.c '<sqlite3.h> belongs only to'
include '<curl/curl.h>' | finds layering metrics/x.c '<curl/curl.h> belongs only to'
for header in time.h stdio.h pthread.h sys/socket.h jansson.h nats/nats.h sqlite3.h math.h; do
    include "<$header>" | finds layering executors/node/core/x.c "<$header>"
done
# A pure machine answers for what its includes bring along, too.
{ printf '/* a */\n#pragma once\n'; include '<stdio.h>'; } >"$scratch/impure.h"
finds_reach() {
    local tree=$scratch/reach status=0 output
    begin
    in_order "$tree"
    cp "$scratch/impure.h" "$tree/base/impure.h"
    include '"base/impure.h"' >"$tree/scheduler/core/x.c"
    output=$("$here/layering.sh" "$tree") || status=$?
    if [ "$status" -ne 1 ] || ! grep -qF '<stdio.h> through base/impure.h' <<<"$output"; then
        complain "layering missed a header that a pure machine reaches: $output"
    fi
}
finds_reach
include '"base/doc.h"' | finds layering scheduler/core/x.c 'sees "base/doc.h"'
printf 'int x = (int)time(0);\n' | finds layering scheduler/core/x.c 'calls time()'
printf 'int x = (int)clock_mono_now().us;\n' | finds layering scheduler/core/x.c 'clock_mono_now()'

# ---- banned functions ----------------------------------------------------------------------------
for name in strcpy strcat sprintf vsprintf gets strtok atoi atol atof rand srand alloca; do
    printf 'void f(void)\n{\n    (void)%s (0);\n}\n' "$name" |
        finds banned simulator/x.c "x.c:3: $name is banned"
done
printf '/* a */ int x = 1 /* b */; int y = atoi("1"); // c\n' | finds banned base/x.h 'x.h:1: atoi'
printf '/*\n * */ int y = atoi("\\"");\n' | finds banned base/x.h 'x.h:2: atoi'

# The compiler refuses the same calls, and takes everything else.
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || continue
    flags=(-std=gnu17 -Wall -Wextra -Werror -D_GNU_SOURCE "-I$repository" -fsyntax-only -x c)
    for order in before after; do
        begin
        headers='#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n'
        banned='#include "base/banned.h"\n'
        [ "$order" = before ] && source=$banned$headers || source=$headers$banned
        # shellcheck disable=SC2059
        printf "${source}int main(void)\n{\n    return (int)strlen(\"\");\n}\n" |
            "$compiler" "${flags[@]}" - ||
            complain "$compiler: nothing compiles with banned.h $order the system headers"
        # shellcheck disable=SC2059
        if printf "${source}int main(void)\n{\n    return rand();\n}\n" |
            "$compiler" "${flags[@]}" - 2>/dev/null; then
            complain "$compiler: rand() compiles with banned.h $order the system headers"
        fi
    done
done

# ---- function length -----------------------------------------------------------------------------
body 71 | finds functions base/x.c 'a function of 71 lines'
{ printf '/* Long: */\n'; body 71; } | finds functions base/x.c 'a function of 71 lines'
{ printf '/* Long: far away. */\n\n'; body 71; } | finds functions base/x.c 'a function of 71 lines'
{ body 70; printf '\n/* Does it.\n * Long: one table. */\n'; body 90; } >"$scratch/good/base/a.c"
passes functions "$scratch/good"

# ---- headers -------------------------------------------------------------------------------------
printf '#pragma once\n' | finds headers base/x.h 'does not open with a comment'
printf '/* x */\nint x;\n' | finds headers base/x.h 'no "#pragma once"'
printf '/* x */\n/* "#pragma once" */\n' | finds headers tests/unit/x.h 'no "#pragma once"'

# ---- text ----------------------------------------------------------------------------------------
printf 'int\tx;\n' | finds text base/x.c 'x.c:1: a tab'
printf 'a:\n\tb\n' | finds text examples/x.yaml 'x.yaml:2: a tab'
printf 'int x; \n' | finds text base/x.c 'blanks at the end'
printf 'x\r\n' | finds text README.md 'a carriage return'
printf '%0101d\n' 0 | finds text base/x.c 'longer than 100 columns'
printf 'x' | finds text docs/x.md 'the last line does not end'
printf '"execution_count": 3,\n' | finds text notebooks/x.ipynb 'an output in a notebook'
for word in 'TO''DO' 'FIX''ME' 'X''XX'; do
    printf '/* %s: later */\n' "$word" | finds text base/x.c 'unfinished'
done
for host in deb.''debian.org security.''debian.org registry.''npmjs.org; do
    printf 'from https://%s/\n' "$host" | finds text script/x.txt 'the host of a registry'
done
awk 'BEGIN { for (i = 0; i < 901; i++) print "" }' | finds text base/x.c 'more than 900 lines'
mode=755 finds text base/x.c 'is executable' <<<'int x;'
mode=644 finds text script/x 'not executable' <<<'#!/bin/sh'
{ printf '%098dé\n' 0; printf 'mktemp /tmp/x.''XXXXXX\n'; } >"$scratch/good/script/notes.txt"
passes text "$scratch/good"

# ---- tested --------------------------------------------------------------------------------------
printf 'int x;\n' | finds tested base/x.c 'no test includes its header'
printf '#include "executors/y.h"\n' | finds tested executors/x.c 'no test includes its header'
printf 'int x;\n' | finds tested base/b_part.c 'no test includes its header'
printf '#include "base/a_internal.h"\n' >"$scratch/good/base/other.c"
printf '/* a, inside */\n#pragma once\n#include "base/a.h"\n' >"$scratch/good/base/a_internal.h"
cp "$scratch/good/base/other.c" "$scratch/good/base/a_part.c"
passes tested "$scratch/good"
printf 'base/gone.c because\n' | finds tested tests/style/untested.txt 'base/gone.c is not there'
printf 'base/a.c\nmodel/solve/s.c a program\n' |
    finds tested tests/style/untested.txt 'base/a.c is listed without a reason'

# ---- format --------------------------------------------------------------------------------------
printf 'int  x;\n' | finds format base/x.c 'not as clang-format writes it'

# ---- licences ------------------------------------------------------------------------------------
# shellcheck disable=SC2016
printf 'target_link_libraries(berth ${GLPK_LIBRARY})\n' |
    finds licences scheduler/CMakeLists.txt 'only berth-solve links GLPK'
mkdir -p "$scratch/bin"
link() { printf 'int main(void) { return 0; }\n' | cc -x c - -o "$@"; }
link "$scratch/bin/berth-solve" -Wl,--no-as-needed -lglpk
passes licences "$scratch/good" "$scratch/bin"
link "$scratch/bin/berth" -Wl,--no-as-needed -lglpk
fails licences 'berth: needs libglpk' "$scratch/good" "$scratch/bin"
rm "$scratch/bin/berth"
link "$scratch/bin/berth-node" -Wl,--no-as-needed -lsqlite3
fails licences 'berth-node: needs libsqlite3' "$scratch/good" "$scratch/bin"
rm "$scratch/bin/berth-node"
link "$scratch/bin/berth-solve"
fails licences 'is this test blind' "$scratch/good" "$scratch/bin"

# ---- labels --------------------------------------------------------------------------------------
mkdir -p "$scratch/ctest"
printf 'add_test(good true)\nset_tests_properties(good PROPERTIES LABELS unit)\n' \
    >"$scratch/ctest/CTestTestfile.cmake"
passes labels "$scratch/ctest"
printf 'add_test(forgotten true)\nset_tests_properties(forgotten PROPERTIES LABELS units)\n' \
    >>"$scratch/ctest/CTestTestfile.cmake"
fails labels 'forgotten: has none' "$scratch/ctest"

cases=$(wc -l <"$scratch/cases")
if [ -s "$scratch/failures" ]; then
    printf 'selftest: %d of %d cases failed\n' "$(wc -l <"$scratch/failures")" "$cases"
    exit 1
fi
printf 'selftest: %d cases\n' "$cases"
