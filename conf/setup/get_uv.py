"""Brings `uv` to a machine, and pip's settings to `uv`; any Python from 3.6 on runs it, without other packages.

python get_uv.py settings              prints shell lines that hand pip's settings to uv
python get_uv.py get LOCK FOLDER       puts the uv that LOCK pins into FOLDER, from the package index
"""

import configparser
import contextlib
import hashlib
import html
import io
import os
import platform
import re
import shlex
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile

# pip's setting -> uv's variables.
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX",),
    "find-links": ("UV_FIND_LINKS",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "no-index": ("SEQREC_NO_INDEX",),  # uv has a flag for it, and no variable.
    "extra-index-url": ("UV_EXTRA_INDEX_URL",),
}


def pip_settings():
    """pip's settings by name, from its files and then from its variables, which win."""
    settings = {}
    home = os.path.expanduser("~")
    configured = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", os.path.join(home, ".pip", "pip.conf")]
    files += [os.path.join(configured, "pip", "pip.conf"), os.environ.get("PIP_CONFIG_FILE", "")]
    parser = configparser.RawConfigParser(strict=False)
    if os.environ.get("PIP_CONFIG_FILE") != os.devnull:
        with contextlib.suppress(configparser.Error):  # pip itself reports what is wrong with its file.
            parser.read([name for name in files if name])
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update((name.replace("_", "-"), value) for name, value in parser.items(section))
    for name, value in os.environ.items():
        if name.startswith("PIP_"):
            settings[name[4:].lower().replace("_", "-")] = value
    return {name: value.strip() for name, value in settings.items() if value.strip()}


def exports():
    """Shell lines that set uv's variables as pip is set; a variable that is set already stays."""
    settings, lines = pip_settings(), []
    for name, variables in VARIABLES.items():
        value = settings.get(name, "")
        if name == "find-links":  # uv refuses a folder that is not there; pip passes it over.
            places = [place for place in value.split() if "://" in place or os.path.exists(place)]
            value = ",".join(places)
        if name == "no-index" and value.lower() in ("0", "false", "no", "off"):
            value = ""
        if name == "index-url" and os.environ.get("UV_INDEX_URL"):
            value = ""
        for variable in variables:
            if value and not (os.environ.get(variable) or os.environ.get(variable.lower())):
                lines.append(f"export {variable}={shlex.quote(' '.join(value.split()))}")
    if "extra-index-url" in settings and not os.environ.get("UV_INDEX_STRATEGY"):
        # As pip does: every index may offer every package. The hashes of the lock decide what is installed.
        lines.append("export UV_INDEX_STRATEGY=unsafe-best-match")
    return lines


def wheel_tags():
    """What the name of a wheel for this machine may hold, the best first."""
    machine = platform.machine()
    if sys.platform == "darwin":
        return ["macosx_.*_" + machine + r"\."]
    libc = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return [libc + "[^.]*_" + machine + r"\."]


def find_wheel(page, address, lock):
    """The address and sha256 of the pinned wheel of this machine on the index's page; None if it is not offered."""
    version = re.search(r"^uv==([^\s;\\]+)", lock, re.MULTILINE).group(1)
    allowed = set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    for tag in wheel_tags():
        for link in re.findall(r'href="([^"]+)"', page):
            url, _, digest = urllib.parse.urljoin(address, html.unescape(link)).partition("#")
            name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
            if name.startswith(f"uv-{version}-") and name.endswith(".whl") and re.search(tag, name):
                return url, allowed
    return None


def get(lock_file, folder):
    """Puts the pinned uv into `folder`; the file must have one of the sha256 sums of the lock."""
    with open(lock_file) as file:
        lock = file.read()
    settings = pip_settings()
    indexes = [os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or settings.get("index-url", "")]
    indexes = [indexes[0] or "https://pypi.org/simple", *settings.get("extra-index-url", "").split()]
    if settings.get("cert"):
        os.environ.setdefault("SSL_CERT_FILE", settings["cert"])
    if settings.get("proxy"):
        os.environ.setdefault("https_proxy", settings["proxy"])
    found = None
    for index in indexes:
        address = index.rstrip("/") + "/uv/"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = found or find_wheel(answer.read().decode("utf-8", "replace"), answer.geturl(), lock)
    if found is None:
        sys.exit(f"no uv for {platform.system()} {platform.machine()} at {', '.join(indexes)}")
    with urllib.request.urlopen(found[0], timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() not in found[1]:
        sys.exit(f"{found[0]} is not the file that {lock_file} pins")
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        [name] = [name for name in wheel.namelist() if re.search(r"/scripts/uv$", name)]
        program = wheel.read(name)
    os.makedirs(folder, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(program)
    os.chmod(part, 0o755)
    os.replace(part, os.path.join(folder, "uv"))


if __name__ == "__main__":
    if sys.argv[1:] == ["settings"]:
        print("\n".join(exports()))
    elif sys.argv[1:2] == ["get"] and len(sys.argv) == 4:
        get(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
