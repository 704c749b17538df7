#!/usr/bin/env bash
# test_examples.sh BIN SCRATCH NAME: script/example with the built programs. It fails when a part is
# not where the example's README says, before or after the one thing changes, when an answer is
# wrong, refused or lost, and, as seen from here, when something is left running or on disk.
set -euo pipefail

bin=$(cd "${1:?usage: test_examples.sh BIN SCRATCH NAME}" && pwd)
work=$(mktemp -d "${2:?usage: test_examples.sh BIN SCRATCH NAME}/examples.XXXXXX")
name=${3:?usage: test_examples.sh BIN SCRATCH NAME}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
trap 'rm -rf "$work"' EXIT

NO_COLOR=1 "$source/script/example" "$name" --bin "$bin" --within "$work"

left=$(grep -lF "$work/example." /proc/[0-9]*/cmdline 2>/dev/null || true)
[ -z "$left" ] || { printf 'test_examples: left running: %s\n' "$left"; exit 1; }
[ -z "$(ls -A "$work")" ] || { printf 'test_examples: left behind: %s\n' "$(ls "$work")"; exit 1; }
