#!/usr/bin/env bash
# On a Ray cluster (pip install ray[train]); Axolotl starts the workers itself, each on a GPU.
# Usage: WORKERS=16 recipes/launch/ray.sh RECIPE [--key=value ...]
# On a cluster set RAY_ADDRESS, and run `AXOLOTL_DO_NOT_TRACK=1 ray start` on every machine in this
# project's folder: workers have its folder and environment, not those of this script, and the
# recipe's relative paths start there. Without a cluster, Ray starts here by itself.
set -euo pipefail
recipe=${1:?usage: ray.sh RECIPE [--key=value ...]}
shift
export AXOLOTL_DO_NOT_TRACK=1
# Else Ray moves each worker to a folder of its own, where those paths mean nothing.
export RAY_CHDIR_TO_TRIAL_DIR=0
exec python -m axolotl.cli.train "$recipe" \
  --use_ray=True --ray_num_workers="${WORKERS:-8}" --ray_run_name=codefavor "$@"
