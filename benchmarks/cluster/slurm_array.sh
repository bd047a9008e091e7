#!/bin/bash
# Not validated by Slurm itself (shellcheck passes): a benchmark as a Slurm array.
# Each task makes one part of the cells in a folder of its own, so that no shared disk is needed but for the last step.
# Where the machines share a disk and its locks, give all tasks one output= and no shard=: they share the cells, and a
# task that comes late takes what is left. Set the account, partition and GPU of your site.
#   sbatch benchmarks/cluster/slurm_array.sh bench=sprites 'methods=[warp,anamodiff,animatex]'
#   motionkit bench merge runs/shards/part-* output=runs/bench/sprites      # when all tasks have ended
#SBATCH --job-name=motionkit-bench
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --output=runs/shards/%A_%a.log
set -euo pipefail

parts=${SLURM_ARRAY_TASK_COUNT:?start it with sbatch}
part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
exec motionkit bench "$@" shard="$part/$parts" threads="${SLURM_CPUS_PER_TASK:-1}" output="runs/shards/part-$part"
