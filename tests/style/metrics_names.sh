#!/usr/bin/env bash
# Every name of the scheduler's metrics page is in docs/monitoring.md, and every name that the
# document or the dashboard speaks of is on the page.
set -euo pipefail
cd "${1:-.}"
failed=0
complain() { printf '%s\n' "$*" >&2; failed=1; }
names=$(grep -oE '"(berth|process)_[a-z_]+"' scheduler/service/service_page.c | tr -d '"' | sort -u)
for name in $names; do
    grep -qE "\`$name(_total)?\`" docs/monitoring.md ||
        complain "docs/monitoring.md: leaves out $name of the metrics page"
done
spoken=$(grep -ohE '(berth|process)_[a-z_]+' docs/monitoring.md docs/grafana/berth.json |
    sed 's/_total$//' | sort -u)
for name in $spoken; do
    grep -qx "$name" <<<"$names" || complain "docs: speak of $name, which the metrics page lacks"
done
exit "$failed"
