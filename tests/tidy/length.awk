# Lengths: 70 lines a function (brace at column 0 to brace at column 0), 600 a source file, 200 a header, 100 columns.
function report(what) { print FILENAME ":" FNR ": " what; bad = 1 }
FNR == 1 { start = 0 }
/^\{$/ { start = FNR }
/^\}$/ && start {
    if (FNR - start - 1 > 70)
        report("function of " FNR - start - 1 " lines, limit is 70")
    start = 0
}
length($0) > 100 { report("line of " length($0) " columns, limit is 100") }
{
    limit = FILENAME ~ /\.h$/ ? 200 : 600
    if (FNR == limit + 1)
        report("file over " limit " lines")
}
END { exit bad }
