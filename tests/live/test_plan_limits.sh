#!/usr/bin/env bash
# test_plan_limits.sh BIN SCRATCH: a plan that takes its solver seconds, with the real programs: how
# far it is is told, a time limit and Ctrl-C end it with the best so far, and an explanation says
# what room is worth. Waits poll for what is waited for.
# shellcheck source=tests/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
live_begin "$@"
sites=24
workloads=250

# Tightly packed, and linked across: nothing that could be proven quickly.
{
    printf 'world: hard\naccounts: [{name: a, provider: aws}]\nsites:\n'
    printf '  - {name: client/web, tier: client, geo: [40, -74]}\n'
    for i in $(seq 1 $sites); do
        printf '  - {name: aws/r%d, tier: cloud, account: a, geo: [%d, %d], price: %s, %s}\n' \
            "$i" $((i * 3)) $((i * 13 - 160)) \
            "{cpu: 0.0$((20 + i * 3)), memory: 0.00$((i % 8 + 1))}" \
            'capacity: {cpu: 7800m, memory: 64GiB}'
    done
    printf 'egress: [{name: out, from: "aws/*", to: "*", per: GiB, tiers: %s}]\n' \
        '[{up_to: 1024GiB, price: 0.09}, {price: 0.05}]'
    printf 'weights: {latency: 0.00001}\n'
} >world.yaml
write_app() { # NAME CPU-FACTOR
    printf 'app: %s\nusers: [{name: web, site: client/web}]\nworkloads:\n' "$1"
    for k in $(seq 0 $((workloads - 1))); do
        printf '  - {name: w%d, %s, tiers: [cloud], resources: {cpu: %dm, memory: 64MiB}}\n' \
            "$k" 'run: {driver: process, artifact: "file:/bin/true"}' \
            $(($2 * (100 * (1 + (k * 7) % 16) + 57 * k % 90) * 3 / 4))
    done
    printf 'links:\n  - {from: web, to: w0, calls: 30/s, request: 1KB, response: 10KB}\n'
    for k in $(seq 1 $((workloads - 1))); do
        printf '  - {from: w%d, to: w%d, calls: %d/s, request: 1KB, response: %dKB}\n' \
            $(((k * k + 3) % k)) "$k" $((1 + k * 5 % 40)) $((1 + k % 30))
        [ $((k % 2)) -ne 0 ] || [ "$k" -lt 4 ] ||
            printf '  - {from: w%d, to: w%d, calls: %d/s, request: 1KB, response: 20KB}\n' \
                $((k - 3)) "$k" $((1 + k * 3 % 20))
    done
}
write_app hard 1 >app.yaml
write_app large 2 >large.yaml
nodes=()
for i in $(seq 1 $sites); do
    nodes+=(--node "n$i=aws/r$i,mcpu=16000,memory=64GiB")
done
run 0 up --dir "$BERTH_DIR" --world world.yaml --free-ports --detach "${nodes[@]}"

# ---- a time limit: what is best then, or that nothing was found; the answer says so ----
status=0
out=$("$bin/berth" plan -f app.yaml --time-limit 3s 2>&1 </dev/null) || status=$?
step='plan --time-limit'
says 'the time limit of 3 s ended the work'
[ "$status" -eq 2 ] || [ "$status" -eq 1 ] || fail "ended with $status: $out"

# ---- Ctrl-C, once it has said how far it is ----
step='plan, cancelled'
"$bin/berth" plan -f app.yaml --time-limit 10min >plan.out 2>plan.err </dev/null &
background=$!
until_true grep -q '^planning: ' plan.err
kill -INT "$background"
status=0
wait "$background" || status=$?
background=''
out=$(cat plan.out plan.err)
[ "$status" -eq 130 ] || fail "ended with $status: $out"
says 'cancelled'
run 0 get nodes # the scheduler goes on
says 'n1'

# ---- too little room is told, and that any one rule less would do, or that this was not asked ----
run 1 plan -f large.yaml --time-limit 60s
says 'cannot hold together' 'vCPU'

run 0 down
printf '%s: done\n' "$live_name"
