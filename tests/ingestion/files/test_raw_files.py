import pytest
from py4j.protocol import Py4JError

from seqrec.core.errors import DataError
from seqrec.ingestion.files.raw_files import find_raw_files


@pytest.fixture
def tree(tmp_path):
    for name in ("a/one.json", "a/two.csv", "a/_SUCCESS", "a/.hidden", "b/three.json", "b/deep/four.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def names(files, tree):
    return [file.display.removeprefix(f"{tree}/") for file in files]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["a/one.json"], ["a/one.json"]),
        (["a"], ["a/one.json", "a/two.csv"]),
        (["b/"], ["b/deep/four.json", "b/three.json"]),
        (["*/*.json"], ["a/one.json", "b/three.json"]),
        (["[ab]/t*"], ["a/two.csv", "b/three.json"]),
        (["b", "b/three.json"], ["b/deep/four.json", "b/three.json"]),
        (["**/*.json"], ["a/one.json", "b/deep/four.json", "b/three.json"]),
        (["b/**/*.json"], ["b/deep/four.json", "b/three.json"]),
        (["**/deep/**/f*"], ["b/deep/four.json"]),
        (["b/**"], ["b/deep/four.json", "b/three.json"]),
        (["b/three.json", "a/one.json"], ["a/one.json", "b/three.json"]),
    ],
)
def test_find_raw_files_finds_files_folders_and_globs(tree, patterns, expected):
    files = find_raw_files([f"{tree}/{pattern}" for pattern in patterns], "source.reviews")

    assert names(files, tree) == expected


def test_find_raw_files_takes_an_exact_name_for_what_it_is(tree):
    (tree / "x[1].json").write_text("x")

    [file] = find_raw_files([f"{tree}/x[1].json"], "source.reviews")

    assert (file.name, file.size) == ("x[1].json", 1)


def test_find_raw_files_starts_relative_paths_here(tree, monkeypatch):
    monkeypatch.chdir(tree)

    assert names(find_raw_files(["a/*.csv", "b/deep"], "x"), tree) == ["a/two.csv", "b/deep/four.json"]


@pytest.mark.parametrize("pattern", ["nothing.json", "*/nothing*", "nothing/*.json"])
def test_find_raw_files_names_what_finds_nothing(tree, pattern):
    with pytest.raises(DataError, match="source.metadata: .*nothing"):
        find_raw_files([f"{tree}/{pattern}"], "source.metadata")


@pytest.mark.parametrize("name", ["a/_SUCCESS", "a/.hidden"])
def test_find_raw_files_refuses_a_file_that_spark_would_pass_over(tree, spark, name):
    (tree / name).write_text("a line\n")
    assert spark.read.text(f"{tree}/{name}").count() == 0  # In silence.

    with pytest.raises(DataError, match=rf"source.reviews: '.*{name}': Spark reads no file .*Rename it") as caught:
        find_raw_files([f"{tree}/b", f"{tree}/{name}"], "source.reviews")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["c/1:2.json", "c", "c/*.json"])
def test_find_raw_files_refuses_a_local_name_that_spark_takes_for_an_address(tree, spark, pattern):
    (tree / "c").mkdir()
    (tree / "c" / "1:2.json").write_text("a line\n")
    with pytest.raises(Py4JError):
        spark.read.text(f"{tree}/c/1:2.json").count()

    with pytest.raises(
        DataError, match=r"source.reviews: '.*/c/1:2.json': .* no local file with ':' .*Rename"
    ) as caught:
        find_raw_files([f"{tree}/{pattern}"], "source.reviews")

    assert "\n" not in str(caught.value)


def test_find_raw_files_takes_a_folder_with_a_colon_as_spark_does(tree, spark):
    (tree / "1:2").mkdir()
    (tree / "1:2" / "a.json").write_text("a line\n")

    [file] = find_raw_files([f"{tree}/1:2"], "source.reviews")

    assert spark.read.text(file.uri).count() == 1
