# shellcheck shell=bash
# Finds a Python and uv, or says what this distribution offers; sourced by conf/environment.sh.

UV_VERSION=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' "$ROOT/conf/lock/uv.txt")
CACHE="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/seqrec"

distribution() { # distribution KEY: a value of /etc/os-release, such as debian for ID; nothing where it is not there.
    sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "${SEQREC_OS_RELEASE:-/etc/os-release}" 2>/dev/null | head -n 1
}

offered_python() { # Prints how to install a fitting Python here by the packages of this very distribution.
    local id version
    id=$(distribution ID) version=$(distribution VERSION_ID)
    case "$id $version" in
        "debian 11" | "ubuntu 20."*) ;; # Theirs is 3.9, or 3.8.
        "debian 12") echo "apt-get install python3.11-venv" ;;
        "ubuntu 22.04") echo "apt-get install python3.10-venv" ;;
        "ubuntu 23."* | "ubuntu 24."*) echo "apt-get install python3-venv" ;;
        "linuxmint 21"*) echo "apt-get install python3.10-venv" ;;
        "linuxmint 22"*) echo "apt-get install python3.12-venv" ;;
        "fedora "*) echo "dnf install python3.12" ;;
        "rhel 8"* | "rocky 8"* | "almalinux 8"* | "rhel 9"* | "rocky 9"* | "almalinux 9"* | "centos 9"* | "ol 8"* | "ol 9"*)
            echo "dnf install python3.12" ;;
        "rhel 10"* | "rocky 10"* | "almalinux 10"* | "centos 10"*) echo "dnf install python3" ;;
        "amzn 2023") echo "dnf install python3.11" ;;
        "opensuse-leap 15"* | "sles 15"*) echo "zypper install python311" ;;
        "opensuse-tumbleweed "*) echo "zypper install python312" ;;
        " ") [ "$(uname -s)" = Darwin ] && echo "brew install python@3.12" ;;
    esac
    return 0
}

offered_downloader() { # Prints how to install what fetches uv where there is no Python at all.
    case " $(distribution ID) $(distribution ID_LIKE) " in
        *" debian "* | *" ubuntu "*) echo "apt-get install python3" ;;
        *" fedora "* | *" rhel "* | *" centos "*) echo "dnf install python3" ;;
        *suse*) echo "zypper install python3" ;;
        *" arch "*) echo "pacman -S uv" ;;
        *" alpine "*) echo "use a distribution with glibc: tensorflow has no packages for Alpine" ;;
        *) echo "install any Python 3, or uv (https://docs.astral.sh/uv)" ;;
    esac
}

advice() { # What to do where neither a fitting Python nor a way to fetch one is here.
    local offered
    offered=$(offered_python)
    if [ -n "$offered" ]; then
        echo "install it ($offered) or name one in SEQREC_PYTHON"
    else
        echo "$(distribution PRETTY_NAME) offers no Python 3.10 to 3.12 as a package: let this machine reach a package index or mirror (PIP_INDEX_URL, HTTPS_PROXY), install uv ($(offered_downloader)), or name such a Python in SEQREC_PYTHON"
    fi
}

find_python() { # Prints the first Python of the right version; fails where there is none.
    local candidate
    [ -z "${SEQREC_PYTHON:-}" ] || "$SEQREC_PYTHON" -c "$HAS_RIGHT_VERSION" 2>/dev/null ||
        fail "SEQREC_PYTHON is '$SEQREC_PYTHON', which is not a Python 3.10, 3.11 or 3.12 that runs: name another one, or unset it."
    for candidate in "${SEQREC_PYTHON:-python3.11}" python3.11 python3.12 python3.10 python3 python; do
        if "$candidate" -c "$HAS_RIGHT_VERSION" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

any_python() { # Prints any Python 3 that runs, to download uv with.
    local candidate
    for candidate in "${PYTHON_BASE:-python3}" python3 python python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys, zipfile, urllib.request; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

get_uv() { # Puts the uv of the lock into the folder $1, by whatever this machine has.
    local python index page wheel sum
    if python=$(any_python); then
        "$python" "$ROOT/conf/setup/get_uv.py" get "$ROOT/conf/lock/uv.txt" "$1"
        return
    fi
    command -v curl >/dev/null || command -v wget >/dev/null || return 1
    command -v unzip >/dev/null || command -v bsdtar >/dev/null || return 1
    index="${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-https://pypi.org/simple}}}"
    page=$(load "${index%/}/uv/" -) || return 1
    wheel=$(printf '%s\n' "$page" | sed -n "s/.*href=\"\([^\"#]*uv-$UV_VERSION-[^\"#]*manylinux[^\"#]*_$(uname -m)\.[^\"#]*whl\).*/\1/p" | head -n 1)
    case "$wheel" in
        "") return 1 ;;
        http*) ;;
        /*) wheel="$(printf '%s' "$index" | sed 's|^\([a-z]*://[^/]*\).*|\1|')$wheel" ;;
        *) wheel="${index%/}/uv/$wheel" ;;
    esac
    mkdir -p "$1" && load "$wheel" "$1/uv.whl" || return 1
    sum=$(sha256sum "$1/uv.whl" | cut -d ' ' -f 1)
    grep -q "sha256:$sum" "$ROOT/conf/lock/uv.txt" || { echo "$wheel is not the file that conf/lock/uv.txt pins"; return 1; }
    (cd "$1" && { unzip -q -o uv.whl || bsdtar -xf uv.whl; } && rm -rf uv && mv uv-*.data/scripts/uv uv && chmod 755 uv && rm -rf uv.whl uv-*)
}

load() { # load ADDRESS FILE
    if command -v curl >/dev/null; then curl -fsSL -o "$2" "$1"; else wget -q -O "$2" "$1"; fi
}

find_uv() { # Sets UV to a uv that runs: the one on the PATH, the one in the cache, or one from the package index.
    local place python
    if python=$(any_python); then eval "$("$python" "$ROOT/conf/setup/get_uv.py" settings 2>/dev/null || true)"; fi
    # As pip does: the certificates of the system, which may be a company's own.
    [ -n "${SSL_CERT_FILE:-}" ] || export UV_SYSTEM_CERTS=1
    unset UV_SYSTEM_PYTHON VIRTUAL_ENV # Both would change where uv installs to.
    UV=""
    case "${SEQREC_UV:-}" in # The program to use; `none` installs by pip.
        none) return 0 ;;
        ?*) "$SEQREC_UV" --version >/dev/null 2>&1 || fail "SEQREC_UV is '$SEQREC_UV', which does not run: name another uv, set it to none (pip is used), or unset it."
            UV=$SEQREC_UV
            return ;;
    esac
    if uv --version >/dev/null 2>&1; then UV=uv; return; fi
    place="$CACHE/uv-$UV_VERSION-$(uname -m)"
    if ! "$place/uv" --version >/dev/null 2>&1; then
        mkdir -p "$place" 2>/dev/null && [ -w "$place" ] || place="$VENV/uv" # The home may be read-only.
        say "fetching uv, which installs the packages."
        get_uv "$place" >>"$LOG" 2>&1 || return 0
    fi
    # shellcheck disable=SC2034 # The script that sources this one reads it.
    if "$place/uv" --version >/dev/null 2>&1; then UV="$place/uv"; fi
}
