#!/usr/bin/env bash
# install.sh FOLDER: puts the npm packages of package-lock.json into FOLDER/node_modules, from the
# registry that npm is configured for, and prints that path (for NODE_PATH). Does nothing when they
# are there already; several may run at the same time.
set -euo pipefail

folder=${1:?usage: install.sh FOLDER}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

exec 9>"$folder/lock"
flock 9
# The copy of the lock file is written last: it says that what it lists is whole.
if ! cmp -s "$here/package-lock.json" "$folder/installed.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$folder/"
    if ! (cd "$folder" && npm ci --no-progress --ignore-scripts) >"$folder/log" 2>&1 9>&-; then
        cat "$folder/log" >&2
        echo "interop: npm could not install the packages (its words are above)" >&2
        exit 1
    fi
    cp "$here/package-lock.json" "$folder/installed.json"
fi
printf '%s\n' "$folder/node_modules"
