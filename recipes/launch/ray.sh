#!/usr/bin/env bash
# On a Ray cluster (pip install ray[train]); Axolotl starts the workers itself.
# Usage: WORKERS=16 recipes/launch/ray.sh RECIPE [--key=value ...]
set -euo pipefail
recipe=${1:?usage: ray.sh RECIPE [--key=value ...]}
shift
export AXOLOTL_DO_NOT_TRACK=1
exec python -m axolotl.cli.train "$recipe" \
  --use_ray=True --ray_num_workers="${WORKERS:-8}" --ray_run_name=codefavor "$@"
