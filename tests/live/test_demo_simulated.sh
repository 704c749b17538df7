#!/usr/bin/env bash
# test_demo_simulated.sh BIN SCRATCH: a short form of script/demo is really run, with its world, its
# app and load from outside: the source's tag changes, then the cache stops helping. The same
# documents and events are simulated. The placements and the moves are the same, in their order;
# the ledgers say the same of each stage: what is reserved to the second, bytes within the noise
# of what is measured (see noise_percent).
# shellcheck source=tests/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
live_begin "$@"
rate=200
window=6
bytes='-(transit|internet) of '
# Bytes come to the ledger up to a second after they were sent, at the beginning of a window as at
# its end; their mean size is told in steps of a byte and a half, of some twenty. Of misses
# besides: a hit ratio is told in steps of a point and a half, of 17 that miss, and by chance.
noise_percent=35
misses_percent=60

say_why() {
    "$bin/berth" get decisions -o wide 2>&1 | tail -n 20
    "$bin/berth" get estimates 2>&1
    cat real.* simulated.* 2>/dev/null || true
}
# wait_for WHAT COMMAND...: until it is true.
wait_for() {
    step=$1
    shift
    until_true "$@"
}
# field NAME: of a JSON object's line.
field() { sed -n "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
objects() { sed 's/{"/\n{"/g'; }
# estimate KIND WORKLOAD SITE: what is measured, or nothing.
estimate() {
    "$bin/berth" get estimates --json | objects | grep -F "\"kind\":\"$1" |
        grep -F "\"workload\":\"$2\"" | grep -F "\"site\":\"${3:-}" | tail -n 1 | field value
}
handoffs() {
    "$bin/berth" get handoffs --json | objects
}
# moved WORKLOAD REASON: is that done?
moved() {
    handoffs | grep -F "\"workload\":\"$1\"" | grep -F "\"reason\":\"$2\"" |
        grep -qF '"state":"done"'
}

# rows FILE: of a ledger as CSV, the sums of quantity by what it was and where, one a line.
rows() {
    tr -d '\r' <"$1" | awk -F '\t' '
        NR == 1 { n = split($0, heads, ","); for (i = 1; i <= n; i++) col[heads[i]] = i }
        NR > 1 {
            while (match($0, /"[^"]*(""[^"]*)*"/))
                $0 = substr($0, 1, RSTART - 1) "tags" substr($0, RSTART + RLENGTH)
            split($0, at, ",")
            what = at[col["ChargeDescription"]] " to " at[col["x_PeerSite"]] ", " \
                at[col["ConsumedUnit"]] " at " at[col["ListUnitPrice"]]
            if (at[col["ConsumedQuantity"]] + 0 > 0)
                sum[what] += at[col["ConsumedQuantity"]]
        }
        END { for (key in sum) printf "%s\t%.12f\n", key, sum[key] }' | sort
}

# moves FROM TO: of objects on standard input, "workload from to reason state" in their order.
moves() {
    awk -F '"' -v from="$1" -v to="$2" '
        /"from/ {
            for (i = 2; i < NF; i += 2)
                if ($(i + 1) == ":")
                    at[$i] = $(i + 2)
            line = at["workload"] " " at[from] " " at[to] " " at["reason"] " " at["state"]
            line = at[from] == "" || at[to] == "" ? "" : line
            delete at
        }
        /"(state":"planned","at_us|at_us.*"from)"/ && match($0, /at_us":[0-9]*/) {
            if (line != "")
                print substr($0, RSTART + 7, RLENGTH - 7) "\t" line
            line = ""
        }' | sort -n | cut -f 2
}
# ratio PPM: as a document has it.
ratio() { awk -v ppm="$1" 'BEGIN { printf "%.6f", ppm / 1000000 }'; }
# sizes: overrides of what is measured of each workload's messages.
sizes() {
    local workload kind
    for workload in front inference source; do
        for kind in request response; do
            printf ", 'bytes.%s.shop/%s=%sB'" "$kind" "$workload" "$(estimate "$kind" "$workload")"
        done
    done
}

# stage N: what the ledger says of some seconds in which nothing moves.
stage() {
    step="stage $1"
    sleep 2 # until what the old copy had counted last is there
    "$bin/berth" cost --focus >"before.$1"
    sleep "$window"
    "$bin/berth" cost --focus >"after.$1"
    rows "before.$1" >"before.$1.rows"
    rows "after.$1" >"after.$1.rows"
    awk -F '\t' 'NR == FNR { old[$1] = $2; next } $2 - old[$1] > 0 {
        printf "%s\t%.12f\n", $1, $2 - old[$1] }' "before.$1.rows" "after.$1.rows" >"real.$1"
}

# ---- really ----
# Its policy is in a hurry; and the cache has so few places that some keys always miss.
sed 's/dwell: 10s/dwell: 2s/; s/healthy_min: 2s/healthy_min: 1s/' \
    "$source/examples/worlds/demo.yaml" >world.yaml
sed "s|file:../../build/release/bin/|file:$bin/|
    s|\(bin/shop-inference\"\)|\1, args: [\"--slots\", \"256\"]|" \
    "$source/examples/apps/shop.yaml" >shop.yaml
run 0 up --world world.yaml --free-ports --detach --node web=client/web --node edge=edge/nyc \
    --node gcp=gcp/us-central1 --node aws=aws/us-east-1
run 0 apply -f shop.yaml --wait
url=$(sed -n 's/^  "url": "\(.*\)",$/\1/p' "$BERTH_DIR/berth.json")
"$bin/shop-load" --url "$url" --seed "$BERTH_DIR/keys/client-default" --inbox _INBOX.c.default \
    --rate "$rate" --seconds 900 --keys 100 --history history.txt >load.json 2>load.err &
background=$!
answered() { grep -q '"answered":[1-9]' load.json 2>/dev/null; }
wait_for 'the first answers' answered
stage 1
run 0 retag shop/source cloud=aws
wait_for "the source's move" moved source retag
stage 2
hit_first=$(estimate hit inference edge/nyc)
bytes_first=$(sizes)
kill -USR1 "$background"
wait_for "inference's own move" moved inference saving
stage 3
estimated() { [ "$(estimate hit inference aws/us-east-1)" ]; }
wait_for 'its hit ratio there' estimated
hit_last=$(estimate hit inference aws/us-east-1)
bytes_last=$(sizes)
step='the outside client'
kill -TERM "$background"
status=0
wait "$background" || status=$?
background=''
[ "$status" -eq 0 ] || fail "ended with $status: $(tail -n 1 load.json) $(cat load.err)"
handoffs | moves from_site to_site >real.moves
run 0 down

# ---- simulated: a stage is two hours long, and its second hour is looked at ----
cat >scenario.yaml <<END
scenario: demo
world: world.yaml
apps: [shop.yaml]
for: 6h
step: 1h
load:
  - {of: shop, calls: $rate/s}
events:
  - {at: 0s, set: ['cache.hit.shop/inference=$(ratio "$hit_first")'$bytes_first]}
  - {at: 2h, set: 'retag.shop/source=cloud:aws'}
  - {at: 4h, set: ['cache.hit.shop/inference=$(ratio "$hit_last")'$bytes_last]}
END
run 0 simulate scenario.yaml --json --quiet
objects <<<"$out" | moves from to >simulated.moves
run 0 simulate scenario.yaml --focus --quiet
for n in 1 2 3; do
    { head -n 1 <<<"$out" && grep -F ",2026-01-01T0$((2 * n - 1)):00:00Z,2026-01-01T" <<<"$out"; } \
        >hour.csv
    rows hour.csv >"simulated.$n"
done

# ---- the same ----
step='moves'
[ "$(wc -l <real.moves)" -eq 2 ] || fail "two moves are wanted: $(cat real.moves)"
diff real.moves simulated.moves >moves.diff ||
    fail "differ (< real, > simulated): $(cat moves.diff)"
for n in 1 2 3; do
    step="stage $n"
    cut -f 1 "real.$n" >real.keys
    cut -f 1 "simulated.$n" >simulated.keys
    diff real.keys simulated.keys >keys.diff ||
        fail "other things are paid for (< real, > simulated): $(cat keys.diff)"
    # What is reserved is counted by the ledger's seconds, of the front's quarter of a vCPU.
    awk -F '\t' -v noise="$noise_percent" -v misses="$misses_percent" -v bytes="$bytes" \
        -v window="$window" '
        NR == FNR { hour[$1] = $2; next }
        { real[$1] = $2 }
        /^cpu of default\/shop\/front / { charged = $2 / 0.25 * 3600 }
        END {
            if (charged < window - 1.5) {
                printf "the ledger saw %.1f s of %d\n", charged, window
                exit 1
            }
            for (key in real) {
                counted = key ~ bytes
                part = !counted ? 0.0001 : (key ~ /shop\/source/ ? misses : noise) / 100
                told = real[key] * 3600 / charged
                # Two figures of nine decimals were subtracted.
                allowed = part * hour[key] + 2e-9 * 3600 / charged
                if (told > hour[key] + allowed || told < hour[key] - allowed) {
                    printf "%s: %.6f an hour, simulated %.6f\n", key, told, hour[key]
                    bad = 1
                }
            }
            exit bad
        }' "simulated.$n" "real.$n" >compared || fail "$(cat compared)"
done
echo 'test_demo_simulated: done'
