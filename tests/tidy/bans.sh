#!/bin/sh
# Every banned pattern of bans.txt in files where it is not allowed. Comments do not count.
set -eu
bad=0
while IFS='|' read -r line; do
    case $line in '#'* | '') continue ;; esac
    pattern=$(printf '%s' "$line" | sed 's/ | .*//')
    rest=$(printf '%s' "$line" | sed 's/^.* | \(.*\) | .*$/\1/')
    instead=$(printf '%s' "$line" | sed 's/.* | //')
    for file in "$@"; do
        [ "$rest" != - ] && printf '%s' "$file" | grep -Eq "$rest" && continue
        # Strip /* */ and // comments and string contents, keeping line numbers.
        found=$(gcc -fpreprocessed -dD -E -P -w "$file" 2>/dev/null | sed 's/"[^"]*"/""/g' | grep -En "$pattern" | head -1 || true)
        if [ -n "$found" ]; then
            echo "$file: banned: ${found#*:} (use $instead)"
            bad=1
        fi
    done
done < tests/tidy/bans.txt
exit $bad
