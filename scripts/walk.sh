# What the scripts of whole workflows begin with; sourced with their arguments, and run by nobody.

if [ $# -gt 0 ]; then
    sed -n '2,/^set /s/^#//p' "$0"
    [ "$1" = --help ] || [ "$1" = -h ] || { echo "error: settings are variables, not arguments: $*" >&2; exit 2; }
    exit 0
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$ROOT/.venv/bin:$PATH
SMOKE=${SMOKE:-}
PLAN=${PLAN:-}
# On a busy CPU the threads of a model otherwise spend their time waiting for each other.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

run() {
    if [ -n "$PLAN" ]; then printf '%q ' "$@"; printf '\n'; return; fi
    printf '+ %s\n' "$*" >&2
    "$@"
}

say() { printf '\n== %s\n' "$*" >&2; }

# The settings, a line each. Others than before would mix two experiments in one folder.
begin_with() {
    [ -z "$PLAN" ] || return 0
    local settings
    settings=$(printf '%s\n' "$@")
    if [ -f "$WORK/settings" ] && [ "$(cat "$WORK/settings")" != "$settings" ]; then
        echo "error: $WORK was begun with other settings; name another folder with WORK:" >&2
        diff "$WORK/settings" <(echo "$settings") >&2 || true
        exit 2
    fi
    echo "$settings" > "$WORK/settings"
}
