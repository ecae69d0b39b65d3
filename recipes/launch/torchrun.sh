#!/usr/bin/env bash
# One or more machines by torchrun, which Axolotl understands as well as accelerate.
# Usage, on every machine:
#   NODES=2 NODE_RANK=0 HEAD=10.0.0.1 GPUS=8 recipes/launch/torchrun.sh RECIPE [--key=value ...]
# Without a GPU, to try it: ACCELERATE_USE_CPU=true GPUS=2 recipes/launch/torchrun.sh \
#   recipes/smollm2-135m/dpo.yaml --max_steps=2
set -euo pipefail
recipe=${1:?usage: torchrun.sh RECIPE [--key=value ...]}
shift
export AXOLOTL_DO_NOT_TRACK=1
exec torchrun \
  --nnodes "${NODES:-1}" \
  --node_rank "${NODE_RANK:-0}" \
  --nproc_per_node "${GPUS:-8}" \
  --rdzv_id codefavor \
  --rdzv_backend c10d \
  --rdzv_endpoint "${HEAD:-localhost}:${PORT:-29500}" \
  -m axolotl.cli.train "$recipe" "$@"
