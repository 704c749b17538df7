#!/usr/bin/env bash
# test_auto.sh BIN SCRATCH: moves that nobody asked for, with the real programs under load: a
# measured hit ratio falls and the service moves by itself, is judged afterwards and stays; quiet
# hours, an app that only wants suggestions, and dearer prices; what counted bytes cost, tier by
# tier. Waits poll for a condition with a generous limit.
# shellcheck source=tests/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
live_begin "$@"
say_why() {
    "$bin/berth" get decisions -o wide 2>&1 | tail -n 20
    "$bin/berth" events 2>&1 | tail -n 30
}

# wait_for WHAT COMMAND...: until it is true.
wait_for() {
    step=$1
    shift
    until_true "$@"
}

# item KIND TEXT...: some item of `berth get KIND` has all of the texts.
item() {
    local lines text
    lines=$("$bin/berth" get "$1" --json 2>/dev/null | sed 's/{"/\n{"/g')
    shift
    for text in "$@"; do
        lines=$(grep -F -- "$text" <<<"$lines") || return 1
    done
}
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
event() { "$bin/berth" events 2>/dev/null | grep -F -- "$1" | grep -qF -- "$2"; }
at() { item handoffs "\"workload\":\"$1\"" '"reason":"'"$2"'"' '"state":"done"'; }

# world FILE PRICE [QUIET]: PRICE is what a vCPU-hour costs in azure/eastus.
world() {
    cat >"$1" <<END
world: auto
accounts:
  - {name: edge-own, provider: edge}
  - {name: gcp-main, provider: gcp}
  - {name: aws-main, provider: aws}
  - {name: azure-main, provider: azure}
sites:
  - {name: client/web, tier: client, geo: [40.71, -74.01]}
  - name: edge/nyc
    tier: edge
    account: edge-own
    geo: [40.71, -74.01]
    price: {cpu: 0.046872, memory: 0.006282}
  - name: gcp/us-central1
    tier: cloud
    account: gcp-main
    geo: [41.8780, -93.0977]
    price: {cpu: 0.021811, memory: 0.002923}
  - name: aws/us-east-1
    tier: cloud
    account: aws-main
    tags: {role: batch}
    geo: [38.9, -77.4]
    price: {cpu: 0.031248, memory: 0.004188}
  - name: azure/eastus
    tier: cloud
    account: azure-main
    tags: {role: batch}
    geo: [37.37, -79.82]
    price: {cpu: $2, memory: 0.004188}
egress:
  - {name: aws-out, from: aws/*, to: "*", per: GiB, tiers: [{price: 0.09}]}
  - {name: azure-out, from: azure/*, to: "*", per: GiB, tiers: [{price: 0.0875}]}
  - {name: edge-transit, from: edge/*, to: "*", per: GB, tiers: [{price: 0.01}]}
  - name: gcp-out
    from: gcp/*
    to: "*"
    per: GiB
    tiers: [{up_to: 16KiB, price: 0.12}, {price: 0.11}]
latency:
  mode: declared
  pairs:
    - {between: [client/web, edge/nyc], rtt: 8ms}
    - {between: [client/web, gcp/us-central1], rtt: 36ms}
    - {between: [edge/nyc, gcp/us-central1], rtt: 28ms}
weights: {latency: 0.00001, device_cpu: 0.00001}
policy:
  horizon: 24h
  dwell: 2s
  settle: 500ms
  check_after: 12s
  healthy_min: 1s
  metric_age_max: 30s
  prior_weight: 10s
  ${3:+quiet_hours: ["$3"]}
END
}

# app NAME MOVES: one workload, for AWS or Azure, whichever costs less.
app() {
    cat >"$1.yaml" <<END
app: $1
moves: $2
workloads:
  - name: task
    run: {driver: process, artifact: "file:$bin/shop-source", args: ["--subject", "svc.default.$1"]}
    contract: true
    resources: {cpu: 100m, memory: 64MiB}
    require: {role: batch}
END
}

# ---- four sites, three apps, load from outside ----
world world.yaml 0.011
app bulk auto
app calm suggest
sed "s|file:../../build/release/bin/|file:$bin/|" "$source/examples/apps/shop.yaml" >shop.yaml
run 0 up --world world.yaml --free-ports --metrics 127.0.0.1:0 --detach --node edge=edge/nyc \
    --node gcp=gcp/us-central1 --node aws=aws/us-east-1 --node azure=azure/eastus
for name in shop bulk calm; do
    run 0 apply -f "$name.yaml" --wait
done
run 0 get apps --json
says '"name":"calm","moves":"suggest"' '"name":"bulk","moves":"auto"'
run 0 get apps bulk
says 'azure/eastus'
step='load'
url=$(sed -n 's/^  "url": "\(.*\)",$/\1/p' "$BERTH_DIR/berth.json")
"$bin/shop-load" --url "$url" --seed "$BERTH_DIR/keys/client-default" --inbox _INBOX.c.default \
    --rate 150 --seconds 900 --keys 5 --history history.txt >load.json 2>load.err &
background=$!
wait_for 'the first answers' grep -q '"answered":[1-9]' load.json
wait_for 'a measured hit ratio' item estimates '"kind":"hit' '"workload":"inference"'
run 0 get handoffs shop --json
says_not saving
item apps '"name":"inference"' '"site":"edge/nyc"' || fail "is not there: $("$bin/berth" get apps)"

# ---- the hit ratio falls: it moves by itself, since that pays ----
kill -USR1 "$background"
wait_for "inference's own move" at inference saving
item apps '"name":"inference"' '"site":"gcp/us-central1"' ||
    fail "is not there: $("$bin/berth" get apps)"
run 0 explain shop/inference
says 'Why now:   saving: edge/nyc -> gcp/us-central1' '(saving): saving: edge/nyc' \
    'What would change its mind' 'INPUT BY ITSELF'
run 0 get decisions shop/inference --json
decision=$(sed 's/{"at_us/\n&/g' <<<"$out" | grep -F '"verdict":"taken"' | head -n 1)
grep -qF '"reason":"saving"' <<<"$decision" || fail "its first taken decision is $decision"
[ "$(number confidence_ppm <<<"$decision")" -ge 900000 ] || fail "no confidence: $decision"
grep -Eq '"score_saving":"[0-9.]*[1-9]' <<<"$decision" || fail "no saving predicted: $decision"

# ---- and is judged by what it has saved ----
wait_for 'the check' event move.checked 'shop/inference'
run 0 get decisions shop/inference --json
says '"checked_at_us":' '"score_realised":"' '"bill_realised":"'
run 0 explain shop/inference
says 'predicted to save $' '% sure; realised '
run 0 events
grep -F move.checked <<<"$out" | grep -qE 'predicted a saving of .* realised ' ||
    fail 'the check has no figures'

# ---- bytes that were counted are paid, tier by tier ----
two_tiers() {
    out=$("$bin/berth" cost --rows --term egress 2>/dev/null) &&
        grep -F gcp-out <<<"$out" | grep -qF '"price":"0.12"' &&
        grep -F gcp-out <<<"$out" | grep -qF '"price":"0.11"'
}
wait_for "bytes past a tier's border" two_tiers
says '"item":"gcp-out"' '"workload":"source"' '"item":"edge-transit"'
run 0 cost --by term
says 'egress' 'datacentre' 'edge'
run 0 get estimates
says 'meter_bytes' 'gcp-main'
item estimates '"kind":"meter_bytes"' '"gcp-out"' '"gcp-main"' || fail 'no meter of gcp-out'

# ---- dearer prices, in quiet hours: who would move is told, and stays ----
hour=$(date -u +%-H)
world quiet.yaml 0.09 "$(printf '%02d:00-%02d:00' $(((hour + 23) % 24)) $(((hour + 3) % 24)))"
world dearer.yaml 0.09
run 2 prices diff live dearer.yaml
says 'azure/eastus' 'price.cpu' 'default/bulk/task' 'default/calm/task' '+$'
run 0 apply -f quiet.yaml
wait_for 'held for the hours' event move.held 'bulk/task'
run 0 explain bulk/task
says 'is at azure/eastus' 'quiet hours until'
run 2 suggest bulk
says 'default/bulk/task  azure/eastus -> aws/us-east-1' 'saves $' '% sure' 'quiet hours until'
run 0 get handoffs bulk --json
says_not saving

# ---- without the hours, one moves and one suggests ----
run 0 apply -f dearer.yaml
bulk_moved() { "$bin/berth" get apps bulk 2>/dev/null | grep -F aws/us-east-1 | grep -qF 1/1; }
wait_for "bulk's own move" bulk_moved
run 0 get decisions bulk/task --json
says '"reason":"saving"'
wait_for "bulk's check" event move.checked 'bulk/task'
run 0 get apps calm
says 'azure/eastus' '1/1'
run 2 suggest
says_not 'default/bulk/task'
says 'default/calm/task  azure/eastus -> aws/us-east-1' 'saves $' '% sure' \
    'the app only wants suggestions'
command=$(grep -o 'berth move default/calm/task.*' <<<"$out")
# shellcheck disable=SC2086 # it is typed as it was printed
run 0 ${command#berth } --wait
run 0 get apps calm
says 'aws/us-east-1' '1/1'
run 0 suggest calm
says 'No suggestions'

# ---- the metrics page ----
step='the metrics page'
port=$("$bin/berth" info --json | sed -n 's/.*"metrics_port":\([0-9]*\).*/\1/p')
exec 9<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&9
out=$(tr -d '\r' <&9)
exec 9<&- 9>&-
at_least() {
    local value
    value=$(awk -v name="$1" '$1 == name { print $2; exit }' <<<"$out")
    awk -v a="${value:-none}" -v b="$2" 'BEGIN { exit !(a != "none" && a + 0 >= b) }' ||
        fail "$1 is ${value:-not there}, wanted $2 at least"
}
at_least 'berth_handoffs_total{result="done"}' 3
at_least 'berth_moves_judged_total{result="checked"}' 2
at_least 'berth_moves_held_total' 1
at_least 'berth_month_dollars{of="paid"}' 0.000001
at_least 'berth_month_dollars{of="predicted"}' 0.000001
at_least 'berth_egress_month_bytes{account="gcp-main",rule="gcp-out"}' 16384
says 'berth_workload_site{namespace="default",app="bulk",workload="task",site="aws/us-east-1"} 1'

# ---- nobody has noticed ----
step='the outside client'
kill -TERM "$background"
status=0
wait "$background" || status=$?
background=''
[ "$status" -eq 0 ] || fail "ended with $status: $(tail -n 1 load.json) $(cat load.err)"
for word in '"final":true' '"refused":0,' '"lost":0,' '"duplicated":0,'; do
    tail -n 1 load.json | grep -qF "$word" || fail "no $word in $(tail -n 1 load.json)"
done
run 0 down
echo 'test_auto: done'
