#!/usr/bin/env bash
# Entry point of the pods of gke.yaml. On TPU hosts jax finds its peers by itself; elsewhere they are
# the pods of an indexed job, whose first pod is the coordinator.
set -euo pipefail

if [ -z "${TPU_WORKER_HOSTNAMES:-}" ]; then
  set -- --coordinator="$COORDINATOR" --num_processes="$NUM_PROCESSES" \
    --process_id="$JOB_COMPLETION_INDEX" "$@"
fi
exec python -m launch "$@"
