#!/usr/bin/env bash
# Runs an experiment on all hosts of a Cloud TPU slice, from a machine with gcloud:
#
#   TPU_NAME=... TPU_ZONE=... [REPOSITORY=infojax] launch/cluster/tpu_vm.sh \
#     --config=configs/NAME.py[:VARIANT] --workdir=DIR
#
# REPOSITORY, a path below the home directory of every host, holds this repository with its
# environment in .venv ('.[experiments]' and 'jax[tpu]'). jax finds the other hosts by itself. DIR
# must be on storage that outlives the first host.
set -euo pipefail
: "${TPU_NAME:?name of the TPU}" "${TPU_ZONE:?its zone}" "${1:?give --config=configs/NAME.py}"

quoted=$(printf ' %q' "$@")
gcloud compute tpus tpu-vm ssh "$TPU_NAME" --zone="$TPU_ZONE" --worker=all \
  --command="cd ${REPOSITORY:-infojax} && PATH=\$PWD/.venv/bin:\$PATH && exec python -m launch$quoted"
