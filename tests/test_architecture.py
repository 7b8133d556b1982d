"""The folder layout is the architecture; these tests keep it true."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"core"},
    {"tables", "events"},
    {"ingestion", "preparation", "feed", "models", "neighbours"},
    {"scoring"},
    {"training", "reranking"},
    {"evaluation", "recommendation"},
    {"tuning"},
    {"pipeline"},
    {"interface"},
]
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
ROOT_FILE = "__init__.py"  # `seqrec` itself stands above all layers.
OWNERS = {
    "petastorm": {"feed/readers/by_petastorm.py"},
    "horovod": {"training/workers/exchange.py", "training/workers/launchers.py"},
    "tensorflow": {"feed", "models", "scoring", "training", "recommendation/export"},
    "pyspark": {
        "tables",
        "ingestion",
        "preparation",
        "neighbours",
        "evaluation",
        "recommendation",
        "tuning",
        "pipeline",
        "training/workers",
    },
}
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
PACKAGE_FILES = sorted((ROOT / "seqrec").rglob("*.py"))
JOB_FILES = sorted((ROOT / "jobs").glob("*.py"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file, which is parsed once however many tests look at it."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def imported_modules(path: Path) -> Iterator[str]:
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            yield node.module or ""


@cache
def dependencies() -> dict[str, set[str]]:
    """Module -> the modules of this project that it imports, also inside a function, but not for types alone."""
    modules = {".".join(("seqrec", *path.relative_to(ROOT / "seqrec").with_suffix("").parts)): path for path in MODULES}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        types_only = {
            id(inner)
            for node in nodes_of(path)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        imports = [n for n in nodes_of(path) if isinstance(n, ast.ImportFrom) and id(n) not in types_only]
        named = {name for n in imports for name in (n.module or "", *(f"{n.module}.{alias.name}" for alias in n.names))}
        found[module] = (named & modules.keys()) - {module}
    return found


def chamber_of(module: str) -> str:
    """`seqrec.models.layers` for what lies inside that folder; a module right inside a package stands for itself."""
    parts = module.split(".")
    return module if len(parts) <= 3 else ".".join(parts[:3])


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """What is left when everything that imports nothing more is taken away, again and again: part of some circle."""
    left = {node: set(targets) for node, targets in graph.items()}
    while True:
        ends = {node for node, targets in left.items() if not targets & left.keys()}
        if not ends:
            return sorted(left)
        left = {node: targets for node, targets in left.items() if node not in ends}


def owns(relative: Path, owners: set[str]) -> bool:
    return any(place.as_posix() in owners for place in (relative, *relative.parents))


MODULES = [path for path in PACKAGE_FILES if path.name != "__init__.py"]
FOLDERS = sorted({path.parent for path in MODULES})
MOST_MODULES_IN_A_FOLDER = 14


def test_imports_point_down_the_layers() -> None:
    for path in PACKAGE_FILES:
        relative = path.relative_to(ROOT / "seqrec")
        package = relative.parts[0]
        for module in imported_modules(path):
            top, *rest = module.split(".")
            assert top != "jobs", f"{relative} imports {module}: jobs call the library, never the reverse"
            if top == "seqrec" and rest and rest[0] != package:
                rank = len(LAYERS) if package == ROOT_FILE else RANK[package]
                assert RANK[rest[0]] < rank, f"{relative} may not import {module}: layers go {LAYERS}"
            if top in OWNERS:
                assert owns(relative, OWNERS[top]), f"only {OWNERS[top]} may import {top}, not {relative}"


def test_the_package_itself_names_only_the_functions_of_its_interface() -> None:
    named = {module for module in imported_modules(ROOT / "seqrec" / ROOT_FILE) if module.startswith("seqrec")}

    assert named
    assert all(module.startswith("seqrec.interface.") for module in named)


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, seqrec; dir(seqrec); print(*(name for name in sys.modules if name.startswith('seqrec')))"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["seqrec"]


def test_a_module_fits_in_one_sitting() -> None:
    files = PACKAGE_FILES + JOB_FILES

    assert [str(path) for path in files if len(path.read_text().splitlines()) > 300] == [], "each does too much"
    assert [str(path) for path in files if path.name in FORBIDDEN_NAMES] == [], "say what each is for"


def test_nothing_is_evaluated_or_unpickled() -> None:
    for path in PACKAGE_FILES:
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}: data must never run as code"
        assert not {"pickle", "cloudpickle", "dill"} & set(imported_modules(path)), f"{path}: never unpickle"


def test_config_modules_need_neither_spark_nor_tensorflow() -> None:
    for path in PACKAGE_FILES:
        if path.name.endswith("config.py"):
            heavy = {module.split(".")[0] for module in imported_modules(path)} & set(OWNERS)
            assert not heavy, f"{path}: every job loads every section, so settings must not import {heavy}"


def test_every_package_has_a_layer():
    packages = {path.name for path in (ROOT / "seqrec").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages == set(RANK)


def test_no_function_is_called_that_spark_3_5_0_fails_at() -> None:
    """Spark 3.5.0, which Databricks' 15.4 runtime has: "Invalid call to dataType on unresolved object"."""
    called = {node.attr for path in PACKAGE_FILES for node in nodes_of(path) if isinstance(node, ast.Attribute)}

    assert "nullif" not in called


def test_no_module_imports_itself_by_way_of_others():
    assert circle_in(dependencies()) == []


def test_chambers_form_no_circle():
    """A folder inside a package counts as one: what uses its parts is never used by them."""
    between: dict[str, set[str]] = {}
    for module, targets in dependencies().items():
        chamber = chamber_of(module)
        between.setdefault(chamber, set()).update({chamber_of(target) for target in targets} - {chamber})
    assert circle_in(between) == []


def test_a_folder_is_seen_at_a_glance() -> None:
    for folder in FOLDERS:
        modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES_IN_A_FOLDER, f"{folder} holds {len(modules)} modules: give parts a folder"


def test_a_package_says_what_it_is_for() -> None:
    for folder in FOLDERS:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), f"{folder}/__init__.py: say it"
