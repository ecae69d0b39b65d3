#!/usr/bin/env bash
# Make .venv from requirements.txt, or reuse it when it is already what the files ask for.
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

python=$(find_python)
echo "install: $venv with $("$python" --version) ($python); this takes a few minutes once" >&2
if [ ! -x "$venv/bin/python" ]; then
    "$python" -m venv "$venv"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

torch=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' requirements.txt)
if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit(not m.version('torch').startswith('$torch'))" 2>/dev/null; then
    if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
        echo "install: torch $torch with CUDA (an NVIDIA GPU was found)" >&2
        pip install -qq "torch==$torch"
    else
        echo "install: torch $torch for the CPU (no NVIDIA GPU was found)" >&2
        # The CPU build has a name of its own; where no configured index has it, uv knows the
        # index that does; the last resort is the CUDA build, which also runs on a CPU.
        pip install -qq "torch==$torch+cpu" 2>/dev/null ||
            { pip install -qq uv && "$venv/bin/uv" pip install -qq --python "$venv/bin/python" --torch-backend cpu "torch==$torch"; } ||
            { echo "install: no CPU build was found; taking the CUDA build (several GB)" >&2; pip install -qq "torch==$torch"; }
    fi
fi
echo "install: everything else in requirements.txt" >&2
pip install -qq -r requirements.txt
pip install -qq --no-deps -e .
pip check >/dev/null || { pip check >&2; echo "error: the installed packages contradict each other" >&2; exit 1; }
touch "$stamp"
echo "install: done" >&2
