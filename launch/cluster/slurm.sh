#!/usr/bin/env bash
# Runs an experiment on SLURM, one process per GPU:
#
#   sbatch [--nodes=N] [--gpus-per-node=G --ntasks-per-node=G] launch/cluster/slurm.sh \
#     --config=configs/NAME.py[:VARIANT] --workdir=DIR
#
# In an array job, {} in an argument is the number of the task, for example of a seed:
#
#   sbatch --array=0-4 --gpus-per-node=1 --ntasks-per-node=1 launch/cluster/slurm.sh \
#     --config=configs/NAME.py[:VARIANT] --config.seed={} --workdir=DIR/seed-{}
#
# jax finds the other processes by itself. Before the time limit, and when preempted, the job saves,
# exits, and is requeued to resume from its checkpoint.
#SBATCH --job-name=infojax
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit this file with sbatch, from the root of the repository}"
export PATH="$PWD/.venv/bin:$PATH"

requeue() {
  if [ "$?" -eq 143 ]; then # SIGTERM stopped it after it saved
    scontrol requeue "$SLURM_JOB_ID"
  fi
}
trap requeue EXIT

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  set -- "${@//\{\}/$SLURM_ARRAY_TASK_ID}"
fi
srun --kill-on-bad-exit=1 python -m launch "$@"
