# Run with c.awk before it.
BEGIN {
    n = split("strcpy strcat sprintf vsprintf gets", unbounded, " ")
    for (i = 1; i <= n; i++)
        instead[unbounded[i]] = "it writes without a bound: use str_copy, str_format or a strbuf"
    n = split("atoi atol atoll atof", loose, " ")
    for (i = 1; i <= n; i++)
        instead[loose[i]] = "it takes anything for a number: use str_to_i64 or a decimal"
    instead["strtok"] = "it keeps hidden state: use strtok_r or strcspn"
    instead["rand"] = "it keeps hidden state: seeds come in, use a generator of your own"
    instead["srand"] = instead["rand"]
    instead["alloca"] = "the stack has no bound that is checked: use an arena"
}

{
    rest = code($0)
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        name = substr(rest, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", name)
        if ((name in instead) && FILENAME != "base/banned.h")
            printf "%s:%d: %s is banned: %s\n", FILENAME, FNR, name, instead[name]
        rest = substr(rest, RSTART + RLENGTH)
    }
}
