#!/bin/sh
# One audit by GNU parallel: on the cores of this machine, or, with a file of host names in HOSTS, over ssh on machines
# that see the same files. Merges when every shard is done.
#
#     parallel.sh 7 OUT --pair DIR --candidate DIR --external DIR
#
# JOBS is how many shards run at once on a machine (default 2), WORKERS the threads of each (default 1). A shard that
# fails is tried three times; the same command goes on from where it was, also after a kill.
set -eu

if [ $# -lt 3 ]; then
    echo "usage: parallel.sh SHARDS OUT OPTION... (the options of sslmem audit)" >&2
    exit 2
fi
shards=$1 out=$2
shift 2
mkdir -p "$out"
out=$(cd "$out" && pwd)
seq "$shards" | parallel --quote --will-cite --jobs "${JOBS:-2}" --retries 3 --joblog "$out/jobs.log" \
    ${HOSTS:+--sshloginfile "$HOSTS" --workdir "$PWD"} \
    sslmem audit "$@" --quiet --workers "${WORKERS:-1}" --shard "{}/$shards" --out "$out/shard-{}"
exec sslmem audit merge "$out/report" "$out"/shard-*
