#!/usr/bin/env bash
# test_cli.sh BIN SCRATCH: the whole of Berth by its command line, with the real programs: up, plan,
# apply, get, retag, explain, events, delete, down; what is refused; and that nothing is left
# running or written outside the folder. Waits are the program's own, or poll with a generous limit.
# shellcheck source=tests/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
live_begin "$@"
dir=$BERTH_DIR
unset BERTH_DIR # each command says --dir, until it is exported below

gone() { ! kill -0 "$1" 2>/dev/null; }
pid_of() {
    sed -n "/\"name\": \"$1\"/{n;s/.*: \([0-9]*\),*/\1/p}" "$dir/berth.json" | tail -n 1
}
# What runs with this folder on its command line.
left_over() { grep -lF "$work" /proc/[0-9]*/cmdline 2>/dev/null | grep -v "/$$/" || true; }
is_quiet() {
    local file
    for file in $(left_over); do
        tr '\0' ' ' <"$file" 2>/dev/null | grep -qvF test_cli.sh && return 1
    done
    return 0
}

cat >app.yaml <<END
app: one
workloads:
  - name: source
    run: {driver: process, artifact: "file:$bin/shop-source"}
    contract: true
    ready: {kind: contract}
    resources: {cpu: 100m, memory: 64MiB}
    require: {cloud: gcp}
    calls: 1/s
users:
  - {name: visitors, site: client/web}
links:
  - {from: visitors, to: source, calls: 1/s, request: 100B, response: 1KB}
END
world=$source/examples/worlds/demo.yaml

# ---- before anything runs ----
run 1 get nodes
says 'berth up --world'
run 1 down --dir "$work/here"
says 'nothing runs in'
run 1 up --dir "$dir"
says 'needs --world FILE'
run 1 up --dir "$dir" --world "$world" --node n1=gcp/us-centrel1
says 'no site gcp/us-centrel1' 'did you mean gcp/us-central1?'
run 1 up --dir "$dir" --world "$world" --node n1=edge/nyc,leaf=far
says 'add --leaf far'
run 1 up --dir "$work" --world "$world" --free-ports
says 'other things than'
run 1 upp
says 'did you mean up?'
run 1 apply -f app.yaml
says 'berth up --world'
printf 'app: x\nworkload: []\n' >wrong.yaml
run 1 apply -f wrong.yaml
says 'wrong.yaml:2: workload' 'did you mean "workloads"?' '2 mistakes'
BERTH_NATS_SERVER=/bin/echo run 1 up --dir "$dir" --world "$world" --free-ports
says 'does not answer --version'

# ---- up ----
run 1 scheduler --state "$dir-refused" --url nats://127.0.0.1:1 --seed x --metrics localhost:9464
says 'numeric address'
rm -rf "$dir-refused"
run 0 up --dir "$dir" --world "$world" --free-ports --metrics 127.0.0.1:0 --detach --leaf far \
    --node e1=edge/nyc \
    --node g1=gcp/us-central1,mcpu=2000,memory=1GiB --node a1=aws/us-east-1,leaf=far
says 'Berth is up' 'node a1' 'leaf far' 'berth down'
url=$(sed -n 's/^  "url": "\(.*\)",$/\1/p' "$dir/berth.json")
[ "$(stat -c %a "$dir")" = 700 ] || fail 'the folder is open to others'
for key in scheduler operator system client-default workloads-default node-e1 node-g1 node-a1 \
    leaf-far; do
    [ "$(stat -c %a "$dir/keys/$key")" = 600 ] || fail "the key $key is open to others"
done
run 1 up --dir "$dir" --world "$world" --free-ports
says 'in use by another `berth up`' 'berth down --dir'
port=${url##*:}
run 1 up --dir "$work/second" --world "$world" --port "$port"
says "port $port" 'is taken' '--free-ports'

run 0 get nodes --dir "$dir"
says 'e1' 'g1' 'aws/us-east-1' '0 of 2' '1 GiB'
run 0 info --dir "$dir"
says 'demo, prices in force since' 'nodes up' "$url"
export BERTH_DIR=$dir
run 0 keys
says 'operator' '_INBOX.o.operator' "$dir/keys/operator"
run 1 get nodez
says 'did you mean nodes?'
run 1 get node nope
says 'berth get nodes lists them'
run 0 get sites -o wide
says 'cloud=aws' 'edge/nyc'
run 0 get prices
says 'aws-internet' '0.09'
run 0 get world -o yaml
says 'world: demo'
run 0 sites --live --near aws/us-east-1
says 'gcp/us-central1' 'km'
run 0 prices aws/us-east-1 --live --to edge/nyc
says 'aws-internet'
run 0 prices diff live "$world"
says 'No differences'
run 0 cost
says 'nothing runs'
run 0 plan
says 'No changes.'

# ---- who may ask ----
run 1 get nodes --url "$url" --seed "$dir/keys/client-default" --user operator --timeout 3s
printf 'not a key\n' >"$work/here/bad.seed"
chmod 600 "$work/here/bad.seed"
run 1 get nodes --url "$url" --seed "$work/here/bad.seed" --timeout 3s
rm -f "$work/here/bad.seed"

# ---- plan, apply ----
run 2 plan -f app.yaml
says 'Plan: 1 move' 'default/one/source' 'gcp/us-central1' 'egress' 'Proven' '--plan-version'
version=$(sed -n 's/.*--plan-version \([0-9]*\).*/\1/p' <<<"$out")
# What proves it is a file that is checked without the scheduler; one byte too few, or one changed
# where it counts, is found.
run 2 plan -f app.yaml --certificate plan.cert
run 0 verify-plan plan.cert
says 'The plan is what it says' 'feasible  yes' 'optimal'
run 0 verify-plan plan.cert --json
says '"right":true' '"gap":'
head -c -1 plan.cert >cut.cert
run 1 verify-plan cut.cert
says 'cut.cert'
[ ! -e plan.cert.part ] || fail 'a part of a certificate was left'
run 1 plan -f app.yaml --certificate no-such-folder/plan.cert
says 'no-such-folder'
run 1 verify-plan app.yaml
says 'BERTHC1'
rm plan.cert cut.cert
# Limits: good ones change nothing about a plan that is quickly proven; bad ones are named.
run 2 plan -f app.yaml --time-limit 30s --gap 0.5% --memory-limit 1GiB
says 'Plan: 1 move' 'Proven'
says_not 'planning:'
run 1 plan -f app.yaml --gap 200%
says '--gap' '0.5%'
run 1 plan -f app.yaml --memory-limit 0B
says '--memory-limit'
run 1 plan -f app.yaml --time-limit 400h
says 'at most 7 days'
run 1 plan -f app.yaml --memory-limit 1KiB
says 'There is no plan' 'needs more memory than a solve may take' '--memory-limit'
run 2 plan -f app.yaml
says 'Plan: 1 move'
run 0 __complete 2 berth plan --time
says '--time-limit'
run 1 apply -f app.yaml --plan-version $((version + 5))
says 'plan'
run 0 apply -f app.yaml --plan-version "$version" --wait
says 'app default/one accepted' 'ready' 'done' '1 handoff done'
run 0 plan
says 'No changes.'
run 0 get apps
says 'gcp/us-central1' '1/1' 'running' 'cloud=gcp'
run 0 get instances one/source
says 'g1' 'ready'
run 0 get instances one -o wide
says 'serve'
run 0 get app one -o yaml
says 'app: one' 'cloud: gcp' 'sha256:'
sed 's/cloud: gcp/cloud: azure/' app.yaml >azure.yaml
run 1 plan -f azure.yaml
says 'azure'
run 1 retag one/source cloud=azure
says 'azure'
run 1 retag one/sauce cloud=aws
says 'sauce'
run 1 retag one cloud=aws
says 'write APP/WORKLOAD'

# ---- retag ----
run 2 plan --retag one/source cloud=aws
says '~  default/one/source' 'aws/us-east-1' 'overlap' \
    'berth retag one/source cloud=aws --plan-version'
says_not 'drain not proven'
run 0 retag one/source cloud=aws --wait
says 'planned' 'staging' 'starting' 'ready' 'reachable' 'lingering' 'draining' 'held' 'stopping' \
    'done' '1 handoff done'
run 0 get apps --json
says '"site":"aws/us-east-1"'
run 0 get handoffs one/source -o wide
says 'retag' 'yes'
run 0 explain one/source
says 'is at aws/us-east-1' 'Why here:' 'Why now:' '✔' 'needs tag cloud=aws'
run 0 explain one/source --json
says '"candidates":['
run 0 cost one
says 'a month' 'this month so far'

# ---- what if: of what runs, and nothing of it changes ----
run 0 whatif --set price.egress.*=x2 --save live.state
says 'What if price.egress.*=x2' 'Nothing moves.' 'Proven'
says_not 'Nothing runs yet'
run 2 whatif --move one=aws:gcp
says 'default/one/source' 'aws/us-east-1' 'gcp/us-central1'
run 2 whatif --state live.state --move one=aws:gcp --json
says '"from":"aws/us-east-1","to":"gcp/us-central1"' '"today_assumed":false'
run 1 whatif --move one=gcp:aws
says 'is at gcp now'
run 0 get apps --json
says '"site":"aws/us-east-1"'
rm live.state

# ---- what a new price list would change, of what runs ----
sed 's/price: {cpu: [0-9.]*/price: {cpu: 0.9/' "$world" >dearer.yaml
run 2 prices diff live dearer.yaml
says 'aws/us-east-1' 'price.cpu' 'default/one/source' '+$' 'If everything stays'
run 2 prices diff live dearer.yaml --json
says '"holes":[]' '"workload":"default/one/source"'
printf 'world: demo\naccounts: [{name: g, provider: gcp}]\nuse: [gcp/us-central1]\n' >fewer.yaml
run 2 prices diff live fewer.yaml
says 'default/one/source runs at aws/us-east-1, which is gone' 'cannot be told'
rm dearer.yaml fewer.yaml

# ---- suggest, move ----
run 1 move one/source
says '--to SITE is missing'
run 1 move one/source --to nowhere/at-all
says 'berth get sites'
run 1 move one/source --to edge/nyc
says 'tags, tiers or pin forbid it'
run 1 move one/sauce --to aws/us-east-1
says 'no workload'

# An app that only wants to be told: a person moves it to a dearer site, and is told to go back.
sed -e 's/app: one/app: three/' -e '/require:/d' -e '/workloads:/i moves: suggest' app.yaml \
    >three.yaml
run 0 apply -f three.yaml --wait
run 0 get apps --json
says '"name":"three","moves":"suggest"'
run 0 suggest three
says 'No suggestions'
run 0 move three/source --to aws/us-east-1 --wait
says 'moves to aws/us-east-1' '1 handoff done'
run 0 get decisions three/source
says 'asked'
run 2 suggest three
says 'default/three/source  aws/us-east-1 -> gcp/us-central1' 'saves $' '% sure' \
    'the bill falls by' 'the app only wants suggestions' \
    'berth move default/three/source --to gcp/us-central1' 'a month.'
run 2 suggest three --json
says '"confidence_ppm":' '"command":"berth move default/three/source --to gcp/us-central1"'
run 0 move default/three/source --to gcp/us-central1 --wait
run 0 suggest three
says 'No suggestions'
run 0 delete three --wait
rm -f three.yaml

# ---- the ledger, the metrics page ----
run 0 cost --by app,term
says 'NAMESPACE' 'TERM' 'PAID' 'PREDICTED' 'one' 'datacentre'
run 0 cost one --by workload,site --json
says '"key":["source","gcp/us-central1"]' '"predicted"'
run 0 cost --focus
says 'BillingAccountId' 'EffectiveCost' 'default/one/source' 'vCPU-hour'
run 0 cost --rows --term datacentre
says '"item":"cpu"' '"unit":"GiB-hour"'
run 0 cost --by day --from 1970-01-01 --to 1970-02-01
says 'nothing was paid then'
run 1 cost --by apps
says 'app' 'namespace'
run 1 cost --from 2026-13-01
says 'is no date'
# What a client of HTTP/1.1 gets from the page: `path`, with the headers that follow.
page() {
    local path=$1
    shift
    exec 9<>"/dev/tcp/127.0.0.1/$metrics_port"
    { printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' "$path"
      [ $# -eq 0 ] || printf '%s\r\n' "$@"
      printf '\r\n'; } >&9
    out=$(cat <&9)
    exec 9<&- 9>&-
}
metrics_port=$("$bin/berth" info --json | sed -n 's/.*"metrics_port":\([0-9]*\).*/\1/p')
step='the metrics page'
page /metrics
says '200 OK' 'text/plain; version=0.0.4' 'berth_node_up{node="e1",site="edge/nyc"} 1' \
    'berth_handoffs_total{result="done"}' 'berth_bill_dollars_per_month{namespace="default"' \
    'berth_month_dollars{of="paid"}' 'berth_workload_site{'
page /metrics 'Accept: application/openmetrics-text; version=1.0.0'
says 'application/openmetrics-text' '# EOF'
page /healthz
says '200 OK' 'ok'
page /other
says '404'
run 0 events one/source
says 'handoff.step' 'app.retagged'
run 0 get decisions
says 'retag'
run 0 __complete 2 berth explain one/
[ "$out" = one/source ] || fail "completes to: $out"

# ---- events and logs, followed ----
step='berth events -f'
"$bin/berth" events -f --json >events.out 2>&1 </dev/null &
background=$!
until_true grep -q app.retagged events.out
run 0 retag one/source cloud=gcp --wait --json
says '"state":"done"'
until_true grep -q '"state":"done","text":"took' events.out
kill "$background"
step='berth events -f, ended'
wait "$background" || fail "ended with $?: $(cat events.out)"
background=''
[ "$(sort events.out | uniq -d | wc -l)" -eq 0 ] || fail "an event came twice: $(sort events.out |
    uniq -d)"

# ---- what dies comes back ----
step='the scheduler killed'
old=$(pid_of scheduler)
kill -9 "$old"
scheduler_is_new() { local new; new=$(pid_of scheduler); [ -n "$new" ] && [ "$new" != "$old" ] &&
    [ "$new" != 0 ]; }
until_true scheduler_is_new
until_true "$bin/berth" info
until_true grep -q 'scheduler was killed by signal 9' "$dir/log/up.log"
run 0 get apps
says '1/1'

# ---- artifacts ----
run 0 artifact put parcel-1 "$bin/shop-source"
says 'object:artifacts/parcel-1' 'sha256:'
run 0 artifact ls
says 'parcel-1'
sed 's/app: one/app: two/' app.yaml >two.yaml
run 0 apply -f two.yaml --upload --wait
run 0 get app two -o yaml
says 'object:artifacts/shop-source-'
run 0 artifact rm parcel-1
run 0 artifact ls
says_not 'parcel-1'
says 'shop-source-'

# ---- delete, down ----
run 2 plan --delete two
says '-  default/two/source'
run 0 delete two --wait
run 0 get apps
says_not 'two'
pids=$(sed -n 's/.*"pid": \([0-9]*\),*/\1/p' "$dir/berth.json")
run 0 down
for pid in $pids; do
    until_true gone "$pid"
done
until_true is_quiet
run 1 get nodes
says 'nothing runs in'
run 1 down
says 'nothing runs in'

# ---- up again: the journal, the keys and the app are there; in the foreground, until Ctrl-C ----
key=$(sha256sum "$dir/keys/operator")
step='berth up, again'
"$bin/berth" up --free-ports --leaf far --node e1=edge/nyc --node g1=gcp/us-central1 \
    --node a1=aws/us-east-1,leaf=far >up.out 2>&1 </dev/null &
background=$!
until_true grep -q 'Ctrl-C here stops everything' up.out
[ "$key" = "$(sha256sum "$dir/keys/operator")" ] || fail 'the keys are other ones'
app_is_ready() { "$bin/berth" get apps 2>/dev/null | grep -q '1/1'; }
until_true app_is_ready
kill -INT "$background"
wait "$background" || fail "ended with $?: $(cat up.out)"
background=''
until_true is_quiet

# ---- SIGKILL of `up` leaves nothing either ----
step='berth up, killed'
"$bin/berth" up --free-ports --node g1=gcp/us-central1 >up.out 2>&1 </dev/null &
background=$!
until_true grep -q 'Ctrl-C here stops everything' up.out
kill -9 "$background"
wait "$background" 2>/dev/null || true
background=''
until_true is_quiet

# ---- nothing outside ----
step='what is left'
[ -z "$(ls -A "$work/home" "$work/tmp" | grep -v "^$work" | grep . || true)" ] ||
    fail "something was written to \$HOME or \$TMPDIR: $(ls -A "$work/home" "$work/tmp")"
[ "$(ls "$work" | sort | tr '\n' ' ')" = 'berth here home tmp ' ] || fail "$(ls "$work")"
[ "$(ls -A | sort | tr '\n' ' ')" = \
    'app.yaml azure.yaml events.out two.yaml up.out wrong.yaml ' ] || fail "$(ls -A)"
echo 'test_cli: done'
