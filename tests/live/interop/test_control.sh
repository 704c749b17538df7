#!/usr/bin/env bash
# test_control.sh BIN SCRATCH: `berth up`, then control.js against the scheduler that runs. Exits
# with 77 (skipped) without node and npm, which script/bootstrap installs.
set -euo pipefail

bin=$(cd "${1:?usage: test_control.sh BIN SCRATCH}" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../../.." && pwd)
command -v node >/dev/null && command -v npm >/dev/null || exit 77
NODE_PATH=$("$here/install.sh" "$2/interop")
BERTH_NATS_SERVER=${BERTH_NATS_SERVER:-$("$source/script/nats-server")}
export NODE_PATH BERTH_NATS_SERVER
work=$(mktemp -d "$2/control.XXXXXX")
clean_up() {
    local status=$?
    "$bin/berth" down --dir "$work/berth" >/dev/null 2>&1 || true
    rm -rf "$work"
    exit $status
}
trap clean_up EXIT
"$bin/berth" up --dir "$work/berth" --detach --free-ports --node edge=edge/nyc \
    --world "$source/examples/worlds/demo.yaml"
url=$(sed -n "s|^ *\"url\": \"\([^\"]*\)\".*|\1|p" "$work/berth/berth.json" | head -n 1)
node "$here/control.js" "$url" "$work/berth/keys/operator" _INBOX.o.operator
