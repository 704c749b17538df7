# The format puts a function's braces, and no other opening brace, alone in the first column.
FNR == 1 { split("", text); opened = 0 }
{ text[FNR] = $0 }
/^\{/ { opened = FNR }
/^\}/ {
    if (opened && FNR - opened + 1 > lines_max && !has_reason(opened - 1))
        printf "%s:%d: a function of %d lines (at most %d): divide it by meaning, or say why " \
            "not in the comment above it (\"Long: ...\")\n",
            FILENAME, opened, FNR - opened + 1, lines_max
    opened = 0
}

# Walks up from a function's brace over its head to the comment that ends directly above.
function has_reason(at) {
    while (at > 0 && text[at] !~ /^[ \t]*$/ && text[at] !~ /(;|\}|\*\/)[ \t]*$/ &&
           text[at] !~ /^(#|\/\/)/)
        at--
    if (text[at] ~ /^\/\//) {
        for (; at > 0 && text[at] ~ /^\/\//; at--)
            if (text[at] ~ /Long: *[^ ]/)
                return 1
        return 0
    }
    if (text[at] !~ /\*\/[ \t]*$/)
        return 0
    for (; at > 0; at--) {
        if (text[at] ~ /Long: *[^ *]/)
            return 1
        if (index(text[at], "/*"))
            return 0
    }
    return 0
}
