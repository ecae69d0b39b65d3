#!/usr/bin/env bash
# Write requirements.txt from requirements.in for Python 3.10 to 3.13; needs uv (pip install uv).
# Pins that are already there are kept; `scripts/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
full=$(mktemp)
trap 'rm -f "$full"' EXIT
cp requirements.txt "$full"
"$uv" pip compile requirements.in --universal --python-version 3.10 --no-annotate --no-header \
    --no-emit-index-url --quiet --output-file "$full" "$@"
{
    sed -n '/^#/p' requirements.txt
    # In this order: pip lets a later `--only-binary :all:` forget the exceptions before it.
    grep '^--' requirements.in
    # The machine's own build of torch brings what CUDA packages it needs; scripts/install.sh.
    grep -E '^torch==' "$full" | sed -E 's/^(torch==[0-9.]+).*/\1/' | sort -u | head -n 1
    echo "triton==3.7.1 ; sys_platform == 'linux'"
    grep -vE '^(#|--|$|torch==|triton==|nvidia-cu|nvidia-nc|nvidia-nv|cuda-)' "$full"
} >requirements.txt.new
mv requirements.txt.new requirements.txt
