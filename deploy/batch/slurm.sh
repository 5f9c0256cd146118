#!/bin/bash
# One audit on the nodes of a Slurm cluster: a task of the array computes a shard.
#
#     sbatch --array=1-7 slurm.sh 7 OUT --pair DIR --candidate DIR --external DIR
#     sbatch --dependency=afterok:JOB --wrap 'sslmem audit merge OUT/report OUT/shard-*'
#
# OUT lies on a file system of all nodes. The first number is that of all shards: an array of some, such as
# --array=2,5, computes again what was lost. A task that is preempted goes on from where it was.
#SBATCH --job-name=sslmem-audit
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -lt 3 ] || [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
    echo "usage: sbatch --array=1-SHARDS slurm.sh SHARDS OUT OPTION... (the options of sslmem audit)" >&2
    exit 2
fi
shards=$1 out=$2
shift 2
mkdir -p "$out"
exec sslmem audit "$@" --workers "${SLURM_CPUS_PER_TASK:-0}" --shard "$SLURM_ARRAY_TASK_ID/$shards" \
    --out "$out/shard-$SLURM_ARRAY_TASK_ID"
