#!/usr/bin/env bash
# What every pod of gke.yaml runs. On TPU hosts jax finds the others by itself; elsewhere they are
# the pods of an indexed job, and the first of them is the coordinator.
set -euo pipefail

if [ -z "${TPU_WORKER_HOSTNAMES:-}" ]; then
  set -- --coordinator="$COORDINATOR" --num_processes="$NUM_PROCESSES" \
    --process_id="$JOB_COMPLETION_INDEX" "$@"
fi
exec python -m launch "$@"
