# Writes a LAYOUT_TYPE(name) and a LAYOUT_FIELD(name, field) for each struct and enum of the headers.
# Their form is that of clang-format: a type begins and ends at the left edge.

function fail(why) {
    print FILENAME ":" FNR ": " why ": " $0 >"/dev/stderr"
    failed = 1
    exit 1
}

# name(declarator): a function pointer's is in its first parentheses, an array's before the brackets.
function name(declarator) {
    if (match(declarator, /\(\*[a-z_]+\)/)) {
        return substr(declarator, RSTART + 2, RLENGTH - 3)
    }
    sub(/\[.*/, "", declarator)
    sub(/^.*[ *]/, "", declarator)
    return declarator
}

/^typedef (struct|enum) [a-z_]+ \{$/ {
    kind = $2
    type = $3
    text = ""
    next
}

kind != "" && /^\}/ {
    if ($0 != "} " type ";") fail("not the end of " type)
    print "LAYOUT_TYPE(" type ")"
    kind = ""
    next
}

kind == "struct" {
    sub(/\/\/.*/, "")
    text = text " " $0
    if (text !~ /; *$/) next
    sub(/; *$/, "", text)
    if (text ~ /\(/) {
        print "LAYOUT_FIELD(" type ", " name(text) ")"
    } else {
        count = split(text, fields, ",")
        for (i = 1; i <= count; ++i) print "LAYOUT_FIELD(" type ", " name(fields[i]) ")"
    }
    text = ""
    next
}

# What it does not know must not be passed over.
/^(typedef )?(struct|union|enum)[^;]*$/ { fail("what is it") }

END {
    if (!failed && kind != "") fail("no end of " type)
}
