#!/usr/bin/env bash
# test_whatif_page.sh BIN SCRATCH: the pages of `berth whatif --html` name nothing to load; and
# where a Chromium is installed it shows all of their sections without a network, and no page is
# wider than a phone. Without Chromium it ends with 77 (not run) after the first part.
set -euo pipefail

bin=$(cd "${1:?usage: test_whatif_page.sh BIN SCRATCH}" && pwd)
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${2:?usage: test_whatif_page.sh BIN SCRATCH}/whatif_page.XXXXXX")
trap 'rm -rf "$work"' EXIT
export HOME=$work TMPDIR=$work
shop=("$source/examples/worlds/demo.yaml" "$source/examples/apps/shop.yaml")

fail() { printf 'test_whatif_page: %s\n' "$*"; exit 1; }

# page NAME OPTION...: asks, and writes NAME.html; 2: something would move.
page() {
    local name=$1 status=0
    shift
    "$bin/berth" whatif --world "${shop[@]}" "$@" --html "$work/$name.html" >"$work/out" 2>&1 ||
        status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 2 ] || fail "$name: $(cat "$work/out")"
}
page one --set cache.hit=0.2 --attribute
page sweep --sweep cache.hit=0.1:0.9:0.2 --break-even cache.hit
page grid --sweep cache.hit=0.1:0.9:0.4 --sweep 'price.egress.*=x1:x12:x1'
page many --sensitivity --monte-carlo 100
pages=(one sweep grid many)

for name in "${pages[@]}"; do
    if grep -nEi 'https?:|src=|href=|url\(|@import|<script|<link' "$work/$name.html"; then
        fail "$name.html names something to load"
    fi
    grep -q "default-src 'none'" "$work/$name.html" || fail "$name.html lets things be loaded"
done

chromium=''
for name in chromium-headless-shell chromium google-chrome; do
    [ -n "$chromium" ] || chromium=$(command -v "$name" || true)
done
if [ -z "$chromium" ]; then
    echo 'test_whatif_page: no Chromium here: what it shows is not looked at'
    exit 77
fi

# shown FILE: what Chromium makes of it. Its sandbox wants rights that a test may not have.
shown() {
    timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" \
        --host-resolver-rules='MAP * ~NOTFOUND' --allow-file-access-from-files \
        --virtual-time-budget=20000 --dump-dom "file://$1" 2>"$work/chromium.log" ||
        fail "$chromium ended with $?: $(tail -n 3 "$work/chromium.log")"
}
says() { # NAME HEADING...
    local name=$1 dom heading
    shift
    dom=$(shown "$work/$name.html")
    for heading in "$@"; do
        grep -qF "<h2>$heading" <<<"$dom" || fail "$name.html shows no '$heading'"
    done
}
says one 'Cost by term' 'Moves' 'By app' 'Who pays for egress'
says sweep 'Cost by term' 'Sweep of cache.hit' 'Break-even of cache.hit'
says grid 'Sweep of cache.hit and price.egress.*'
says many 'Sensitivity' 'How the bill spreads'

# On a phone tables and pictures scroll by themselves: the page does not.
for name in "${pages[@]}"; do
    cat >"$work/phone.html" <<END
<body><iframe src="$name.html" style="width:390px;height:800px;border:0"></iframe><p></p><script>
onload = () => document.querySelector("p").textContent =
    "wide " + frames[0].document.documentElement.scrollWidth;
</script>
END
    dom=$(shown "$work/phone.html")
    wide=$(sed -n 's/.*<p>wide \([0-9]*\)<.*/\1/p' <<<"$dom")
    [ -n "$wide" ] || fail "$name.html: its width is not told"
    [ "$wide" -le 390 ] || fail "$name.html is $wide pixels wide where the screen has 390"
done
echo 'test_whatif_page: done'
