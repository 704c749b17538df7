#!/usr/bin/env bash
# test_operate.sh BIN SCRATCH: moves of many at once by the command line, with the real programs:
# `move --from`, `evacuate` shown, carried out, interrupted, undone; `drain` of a node; what is
# refused. Waits are the program's own, or poll with a generous limit.
# shellcheck source=tests/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
live_begin "$@"

# at SITE: how many instances are ready there.
at() {
    "$bin/berth" get instances | awk -v site="$1" '$4 == site && $5 == "ready"' | wc -l
}
until_at() { # SITE COUNT
    local i
    for ((i = 0; i < 900; i++)); do
        if [ "$(at "$1")" -eq "$2" ]; then return 0; fi
        sleep 0.1
    done
    fail "never $2 at $1: $("$bin/berth" get instances -o wide)"
}

gcp=gcp/us-central1
aws=aws/us-east-1
sed 's/^  moves: .*/  moves: 3/; s/healthy_min: .*/healthy_min: 200ms/' \
    "$source/examples/worlds/demo.yaml" >world.yaml
run 0 up --world world.yaml --free-ports --detach --node g1=$gcp --node a1=$aws --node a2=$aws \
    --node e1=edge/nyc

# Four services in a row; the first two talk to each other.
{
    printf 'app: row\nmoves: off\nworkloads:\n'
    for name in one two three four; do
        cat <<END
  - name: $name
    run: {driver: process, artifact: "file:$bin/shop-source"}
    contract: true
    ready: {kind: contract}
    resources: {cpu: 50m, memory: 32MiB}
    tiers: [cloud]
    calls: 1/s
END
    done
    printf 'links:\n  - {from: one, to: two, calls: 5/s, request: 100B, response: 1KB}\n'
} >row.yaml
run 0 apply -f row.yaml --wait
# Wherever they were put: all of them to GCP first.
run 0 get instances
[ "$(at $aws)" -eq 0 ] || run 0 move row --from aws --to gcp --yes
until_at $gcp 4

# ---- shown, and nothing changed ----
run 2 evacuate gcp --to aws --dry-run
says 'default/row/one' 'default/row/four' '4 moves, at most 3 at once' none \
    'until `berth uncordon gcp`'
run 2 move row --from $gcp --to aws --dry-run --json
says '"state_version"' '"steps"' '"expected_us"' '"score_after"'
run 0 get cordons
[ "$(at $gcp)" -eq 4 ] || fail 'a dry run moved something'

# ---- what is refused ----
run 1 evacuate mars --dry-run
says 'no site, no provider and no tag'
run 1 move row --from aws --to gcp --dry-run
says 'runs at aws'
run 1 evacuate cloud=gcp --dry-run
says 'there is no'
run 1 move row --from gcp --to client/web --dry-run
says 'These rules cannot hold together'
run 1 rollback op-none
says 'there is no operation op-none'
run 1 uncordon gcp
says 'not being emptied'
run 1 drain nobody
says 'there is no node nobody'

# ---- carried out, in order, and undone ----
run 0 evacuate gcp --to aws --at-once 2 --yes
says 'operation op' '1/4' '4/4' 'moving' 'done: 4 done, 0 went back, 0 skipped'
until_at $aws 4
[ "$(at $gcp)" -eq 0 ] || fail 'something is left at GCP'
run 0 get cordons
says provider gcp
run 1 move row/one --to $gcp
says 'is being emptied'
run 0 get operations -o wide
says 'evacuate from gcp to aws' done
operation=$("$bin/berth" get operations --json | grep -o '"id":"op[0-9a-z]*"' | head -n 1 |
    cut -d '"' -f 4)
run 0 rollback "$operation"
says 'done: 4 done'
until_at $gcp 4
run 0 get cordons
! grep -q provider <<<"$out" || fail "a rollback leaves its cordon: $out"
run 1 rollback "$operation"
says 'rolled back already'

# ---- a part of it: one workload by its tag ----
run 0 move row/two --from cloud=gcp --to cloud=aws --yes --json
says '"state":"done"'
until_at $aws 1

# ---- Ctrl-C: what is under way ends, nothing further begins, and it says how it stands ----
run 0 move row/two --from aws --to gcp --yes
until_at $gcp 4
step='berth evacuate gcp, interrupted'
"$bin/berth" evacuate gcp --to aws --at-once 1 --yes >evacuate.log 2>&1 </dev/null &
background=$!
for ((i = 0; i < 600; i++)); do
    ! grep -q moving evacuate.log || break
    sleep 0.05
done
kill -INT "$background"
status=0
wait "$background" || status=$?
background=''
out=$(cat evacuate.log)
[ "$status" -eq 1 ] || fail "ended with $status: $out"
says 'cancelled: what is under way ends' skipped
[ $(($(at $gcp) + $(at $aws))) -eq 4 ] || fail 'not every workload serves at one of the two'
run 0 get cordons
! grep -q provider <<<"$out" || fail "a cancelled evacuation leaves its cordon: $out"

# ---- a node ----
run 0 move row --from gcp --to aws --yes
until_at $aws 4
full=$("$bin/berth" get instances | awk '$5 == "ready" {print $3}' | sort | uniq -c | sort -rn |
    awk 'NR == 1 {print $2}')
run 0 drain "$full"
says "$full is empty"
"$bin/berth" get instances >"$work/instances" || fail 'the instances cannot be read'
[ "$(awk -v node="$full" '$3 == node && $5 == "ready"' "$work/instances" | wc -l)" -eq 0 ] ||
    fail 'the node is not empty'
until_at $aws 4
run 0 uncordon "$full"
says 'open again'
run 0 down
printf 'test_operate: all well\n'
