# code(): the line without its comments and with empty strings, so that words in them are not taken
# for code. Call it once for each line of a file, in order; it remembers an open comment.

FNR == 1 { in_comment = 0 }

function code(line,    out, at, rest, c, quote) {
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (at == 0)
                return out
            line = substr(line, at + 2)
            in_comment = 0
            out = out " "
            continue
        }
        c = substr(line, 1, 1)
        if (substr(line, 1, 2) == "/*") {
            in_comment = 1
            line = substr(line, 3)
        } else if (substr(line, 1, 2) == "//") {
            return out
        } else if (c == "\"" || c == "'") {
            quote = c
            rest = substr(line, 2)
            while (rest != "" && substr(rest, 1, 1) != quote)
                rest = substr(rest, substr(rest, 1, 1) == "\\" ? 3 : 2)
            out = out quote quote
            line = substr(rest, 2)
        } else {
            at = match(line, /[\/"']/)
            if (at == 1)
                at = 2
            if (at == 0)
                return out line
            out = out substr(line, 1, at - 1)
            line = substr(line, at)
        }
    }
    return out
}
