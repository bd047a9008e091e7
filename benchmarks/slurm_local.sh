#!/usr/bin/env bash
# The benchmark and a sweep of `transfer` on a real Slurm: controller, node daemon and munge of Debian's packages, one
# node, this machine. Needs root (or a container), Debian or Ubuntu, and the checkout's .venv.
#
#     sudo benchmarks/slurm_local.sh [FOLDER]      # output of a run: benchmarks/slurm_local.txt
#
# Nothing of the system's configuration is touched: slurm.conf and all state lie in FOLDER (default: a new temporary
# one), and the daemons that were started here are stopped at the end. The folder must be seen by all nodes, as on any
# cluster: here there is one. On a cluster of your own only the line with `motionkit bench` is needed.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
motionkit=$root/.venv/bin/motionkit
folder=$(realpath -m "${1:-$(mktemp -d)}")
mkdir -p "$folder"/{state,spool,log}
cpus=$(nproc --all)
memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
host=$(hostname -s)

say() { printf '\n== %s\n' "$*"; }
# Without its paths, and without submitit's complaint that there is no accounting data base.
shown() { sed "s|$folder|FOLDER|g" | grep -v -e sacct -e 'accounting storage' -e '^$' || true; }
ended() {
  while [ -n "$(squeue --noheader)" ]; do sleep 1; done
  scontrol --oneliner show jobs | grep -o 'JobName=[^ ]*\|JobState=[^ ]*\|ExitCode=[^ ]*' | paste - - - | sort | uniq -c
}

say "packages"
if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends munge slurmctld slurmd slurm-client
fi
"$root/.venv/bin/pip" install --quiet submitit hydra-submitit-launcher  # motionkit[submitit]

say "one node"
# No accounting data base and no control groups: submitit then knows that a job has ended by the file that it leaves.
cat >"$folder/slurm.conf" <<EOF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$folder/slurm.conf
sbatch --version

started=()
stop() {
  for name in slurmd slurmctld; do
    [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
  done
  for pid in "${started[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
}
trap stop EXIT

if ! munge -n 2>/dev/null | unmunge >/dev/null 2>&1; then
  [ -f /etc/munge/munge.key ] || /usr/sbin/mungekey
  install -d -o munge -g munge -m 755 /run/munge
  runuser -u munge -- /usr/sbin/munged
  started+=("$(cat /run/munge/munged.pid)")
fi
munge -n | unmunge | grep STATUS
slurmctld
slurmd
for _ in $(seq 60); do
  [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
  sleep 1
done
sinfo --format="%9P %6a %5D %8T %4c"
srun --ntasks=1 python3 -c 'print("a job runs")'

cd "$folder"
export OMP_NUM_THREADS=1
say "motionkit bench, runner=submitit"
"$motionkit" bench bench.pairs=2 bench.frames=2 'methods=[still,warp]' runner=submitit workers=2 threads=1 \
  cluster.kind=slurm cluster.partition=main cluster.minutes=30 cluster.cells=2 gpu=cpu output=bench 2>&1 | shown
cat bench/results-*/results.md
say "the jobs, as Slurm saw them"
ended
say "a second start has nothing to do"
"$motionkit" bench bench.pairs=2 bench.frames=2 'methods=[still,warp]' runner=submitit threads=1 gpu=cpu \
  output=bench 2>&1 | shown

say "motionkit transfer -m, hydra/launcher=submitit_slurm"
"$motionkit" sprites output=example frames=2 >/dev/null
"$motionkit" transfer method=warp reference=example/source.png driving=example/driving.mp4 frames=2 gpu=cpu \
  seed=0,1 -m hydra/launcher=submitit_slurm hydra.launcher.partition=main hydra.launcher.timeout_min=30 \
  hydra.launcher.cpus_per_task=1 hydra.sweep.dir=sweep 2>&1 | shown
find sweep -name result.mp4 | sort
[ "$(find sweep -name result.mp4 | wc -l)" = 2 ]
ended
say "done"
