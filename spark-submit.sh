#!/usr/bin/env bash
# Submits one job of seqrec with the real spark-submit; `./spark-submit.sh --help` says how.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # Called by `sh`, or by a zsh.
if [ "${BASH_SOURCE[0]}" != "$0" ]; then
    printf 'seqrec: error: run ./spark-submit.sh, do not source it.\n' >&2
    return 2
fi
set +o posix -euo pipefail +fC # A caller may export SHELLOPTS: without globs, or with files that are never overwritten.
shopt -u failglob nullglob

# They change how `cd` and a new bash behave.
unset CDPATH BASH_ENV ENV POSIXLY_CORRECT
unset -f cd pwd command exec printf source
folder_of() { # Prints the folder of a script, links followed; `readlink -f` is not everywhere.
    local path=$1 target
    while [ -L "$path" ]; do
        target=$(readlink "$path")
        case "$target" in
            /*) path=$target ;;
            *) path=$(dirname -- "$path")/$target ;;
        esac
    done
    cd -P -- "$(dirname -- "$path")" && pwd -P
}

ROOT=$(folder_of "${BASH_SOURCE[0]}")

usage() {
    cat <<'TEXT'
Usage: ./spark-submit.sh JOB [--config FILE] [--set section.key=value ...] [-- spark-submit options]

  --config FILE            one YAML that describes a whole run; conf/demo.yaml to begin with
  --set section.key=value  overrides a key of the file; may be given several times
  --help                   this text; after JOB, what the job does and the keys it reads
  -- ...                   passed on to spark-submit, such as --master spark://host:7077

The first use makes .venv with everything that is needed (about 5 minutes). SEQREC_ENV=current uses the active Python
environment instead. On a cluster (a --master that is not local) .venv is packed and sent to the executors. The active
environment is sent only with SEQREC_SHIP=always; without it, all nodes must have that environment already.

TEXT
    list_jobs
}

list_jobs() { # Prints one line per job: the first line of its docstring.
    echo "Jobs:"
    local file
    for file in "$ROOT"/jobs/*.py; do
        [ "$(basename "$file")" = __init__.py ] && continue
        printf '  %-12s %s\n' "$(basename "$file" .py)" "$(sed -n '1s/^"""//p' "$file" | sed 's/"""$//')"
    done
}

case "${1:-}" in
    "") usage >&2; exit 2 ;;
    -h | --help | help) usage; exit 0 ;;
esac
if [ ! -f "$ROOT/jobs/$1.py" ] || [ "$1" = __init__ ]; then
    printf "seqrec: unknown job '%s'.\n" "$1" >&2
    list_jobs >&2
    exit 2
fi

# shellcheck source=conf/environment.sh
source "$ROOT/conf/environment.sh"
ensure_environment
# Names are UTF-8 whatever the language is; a screen of another encoding shows letters that it lacks as numbers.
export PYTHONUTF8=1
case "${PYTHONIOENCODING:-}" in
    "" | *:*) ;;
    *) export PYTHONIOENCODING="$PYTHONIOENCODING:backslashreplace" ;;
esac
# Not by `python -m`, which imports from the folder that it is called in before all others.
exec "$PYTHON" -c 'import sys
sys.path[0] = sys.argv.pop(1)
import runpy
runpy.run_module("seqrec.pipeline", run_name="__main__", alter_sys=True)' "$ROOT" "$@"
