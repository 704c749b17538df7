# One table for each question; the longest prefix of a path decides its layer.
BEGIN {
    # What an edge node may take from metrics/ stands apart: it must not bring the rest along.
    layer_of_prefix["metrics/sketch"] = "edge-metrics"
    layer_of_prefix["metrics/openmetrics"] = "edge-metrics"
    n = split("base model metrics scheduler/core scheduler/ledger scheduler/service " \
              "scheduler/web scheduler/cli executors executors/node/core simulator " \
              "examples tests", prefixes, " ")
    for (i = 1; i <= n; i++)
        layer_of_prefix[prefixes[i] "/"] = prefixes[i]

    may["base"] = "base"
    may["model"] = "base model"
    may["edge-metrics"] = "base edge-metrics"
    may["metrics"] = "base model edge-metrics metrics"
    may["scheduler/core"] = "base model scheduler/core"
    may["scheduler/ledger"] = "base model scheduler/ledger"
    may["scheduler/service"] = may["scheduler/web"] = \
        "base model edge-metrics metrics scheduler/core scheduler/ledger scheduler/service " \
        "scheduler/web"
    may["executors/node/core"] = "base edge-metrics executors/node/core"
    may["executors"] = "base edge-metrics executors/node/core executors"
    may["simulator"] = \
        "base model edge-metrics metrics scheduler/core scheduler/ledger executors/node/core " \
        "simulator"
    may["scheduler/cli"] = may["simulator"] " scheduler/service scheduler/web scheduler/cli"
    may["examples"] = "base executors examples"

    # The only places of a library: prefixes of paths. Tests may open what they judge, but GLPK's
    # licence reaches every program that includes it.
    # One test links the engine and asks GLPK for the relaxation beside it; the other reads the
    # programme that a benchmark writes for others. A benchmark weighs shares of GPUs by it.
    places["glpk.h"] = "model/solve/ tests/property/test_dual_property.c tests/unit/test_peer.c " \
                       "tests/bench/solver/openb_weigh.c"
    places["sqlite3.h"] = "scheduler/service/ scheduler/ledger/ metrics/ simulator/world/ tests/"
    places["curl/curl.h"] = "metrics/probe/ tests/"

    # All that the pure machines see of the C library, themselves and through what they include.
    n = split("stdbool.h stddef.h stdint.h inttypes.h limits.h stdarg.h stdalign.h string.h " \
              "stdlib.h errno.h", pure_headers, " ")
    for (i = 1; i <= n; i++)
        pure[pure_headers[i]] = 1
    impure_prefixes = "base/bus/ base/log.h base/doc.h base/keys/"
    pure["base/bus/subjects.h"] = 1 # names only
    impure_calls = " time clock clock_gettime gettimeofday clock_mono_now clock_boot_now " \
        "clock_wall_now clock_boot_id random drand48 getrandom getenv open fopen socket read write "
}

FNR == 1 {
    layer[FILENAME] = layer_of(FILENAME)
    names[++count] = FILENAME
}

/^[ \t]*#[ \t]*include[ \t]*["<]/ {
    target = $0
    sub(/^[ \t]*#[ \t]*include[ \t]*["<]/, "", target)
    sub(/[">].*/, "", target)
    quoted = $0 ~ /include[ \t]*"/
    edges[FILENAME] = edges[FILENAME] (quoted ? "\"" : "<") target " "
    judge_include(target, quoted)
}

is_pure(layer[FILENAME]) {
    rest = code($0)
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        name = substr(rest, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", name)
        if (index(impure_calls, " " name " "))
            say(FILENAME ":" FNR, "a pure machine calls " name "(): let it come in with an event")
        rest = substr(rest, RSTART + RLENGTH)
    }
}

END {
    for (i = 1; i <= count; i++)
        if (is_pure(layer[names[i]])) {
            split("", visited)
            judge_reach(names[i], names[i], "")
        }
}

function say(where, what) { printf "%s: %s\n", where, what }

function is_pure(name) { return name == "scheduler/core" || name == "executors/node/core" }

function layer_of(path,    prefix, best) {
    best = ""
    for (prefix in layer_of_prefix)
        if (index(path, prefix) == 1 && length(prefix) > length(best))
            best = prefix
    return best == "" ? "" : layer_of_prefix[best]
}

function starts_with_one_of(path, list,    parts, n, i) {
    n = split(list, parts, " ")
    for (i = 1; i <= n; i++)
        if (index(path, parts[i]) == 1)
            return 1
    return 0
}

function judge_include(target, quoted,    own, other) {
    own = layer[FILENAME]
    if ((target in places) && !starts_with_one_of(FILENAME, places[target]))
        say(FILENAME ":" FNR, "<" target "> belongs only to " places[target])
    if (!(own in may) || !quoted)
        return
    other = layer_of(target)
    if (other == "")
        say(FILENAME ":" FNR, "\"" target "\" is in no layer: write the path from the root")
    else if (!index(" " may[own] " ", " " other " "))
        say(FILENAME ":" FNR, own " may not include \"" target "\": it may use " may[own])
}

# Follows what a pure file includes, through the project's headers, to everything it sees.
function judge_reach(start, at, path,    parts, n, i, target) {
    if (at in visited)
        return
    visited[at] = 1
    n = split(edges[at], parts, " ")
    for (i = 1; i <= n; i++) {
        target = substr(parts[i], 2)
        if (substr(parts[i], 1, 1) == "<") {
            if (!(target in pure))
                say(start ":1", "a pure machine sees <" target ">" path)
        } else if (!(target in pure) && starts_with_one_of(target, impure_prefixes)) {
            say(start ":1", "a pure machine sees \"" target "\"" path)
        } else {
            judge_reach(start, target, " through " target)
        }
    }
}
