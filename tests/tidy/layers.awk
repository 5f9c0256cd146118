# Includes only go down: layers.txt says which floor may include which. First file: the table; then the sources.
function dir(path) { sub("/[^/]*$", "", path); return path }
NR == FNR {
    from = $1
    sub(":", "", from)
    for (i = 2; i <= NF; i++)
        may[from, $i] = 1
    next
}
/^#include "/ {
    split($0, quoted, "\"")
    here = dir(FILENAME)
    there = quoted[2] ~ /^sslmem\// ? "include" : dir(quoted[2])
    if (here != there && here !~ /^include/ && !((here, there) in may)) {
        print FILENAME ":" FNR ": " here " may not include " there
        bad = 1
    }
}
END { exit bad }
