#!/bin/sh
# Every banned pattern of bans.txt in files where it is not allowed. Comments do not count.
set -eu
bad=0
bare=$(mktemp)
trap 'rm -f "$bare"' EXIT
for file in "$@"; do
    # Without /* */ and // comments and the contents of strings, on the same lines.
    gcc -fpreprocessed -dD -E -P -w "$file" 2>/dev/null | sed 's/"[^"]*"/""/g' >"$bare"
    while read -r line; do
        case $line in '#'* | '') continue ;; esac
        pattern=${line%% | *}
        rest=${line#"$pattern | "}
        allowed=${rest%% | *}
        found=$(grep -E -m 1 "$pattern" "$bare") || continue
        [ "$allowed" != - ] && printf '%s' "$file" | grep -Eq "$allowed" && continue
        echo "$file: banned: $found (use ${rest#* | })"
        bad=1
    done < tests/tidy/bans.txt
done
exit $bad
