"""Every kind of broken file ends as one clear error that names it, or as counted rejects; nothing is published."""

import bz2
import gzip
import io
import tarfile

import pytest
import zstandard

from seqrec.core.errors import DataError, SeqrecError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage


def fails(ingested, tmp_path, match, reviews, *rest, **settings):
    """Ingest ends with one line that says `match`, and nothing is there afterwards."""
    with pytest.raises(SeqrecError, match=match) as caught:
        ingested(reviews, *rest, **settings)
    assert "\n" not in str(caught.value)
    assert Dataset(Storage(str(tmp_path / "work")), "ingested", "test").manifest() is None


def tar_of(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("reviews.json")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("empty.json", b"", "empty.json is empty"),
        ("blank.json", b"\n\n \n", "blank.json: no line holds a review"),
        ("empty.json.gz", b"", "no line holds a review"),
        (
            "prose.json",
            b"Dear reader,\nthis is a letter.\n",
            "known format; it starts with 'Dear reader,'",
        ),
        ("reviews.zip", b"PK\x03\x04abc", "is a zip archive"),
        ("reviews.json.bz2", bz2.compress(b'{"reviewerID": "A1"}\n' * 99)[:-9], "is cut off or damaged"),
        (
            "list.json",
            b'[\n{"reviewerID": "A1", "asin": "B1"},\n{"reviewerID": "A2"}\n]',
            "is one JSON list.* jq -c '.\\[\\]'",
        ),
        ("pretty.json", b'{\n "reviewerID": "A1",\n "asin": "B1"\n}\n' * 9, "objects over several lines.* jq -c \\. "),
        ("tar.json.gz", tar_of(b'{"reviewerID": "A1"}\n' * 999), "holds a tar archive.* tar -xf -"),
        ("mixed.json.gz.part", b'{"reviewerID": "A1"}\n', "is a download that has not ended"),
        ("reviews.parquet", b"PAR1\x15\0abc", "is a Parquet file"),
        ("windows.json", "{}".encode("utf-16"), "is UTF-16 text"),
        ("binary.json", bytes(range(256)) * 50, "is a file of binary data"),
        ("code.py", b"import os\nos.system('touch /tmp/x')\n", "no line of a known format"),
        ("meta.json", b'{"asin": "B1", "title": "x"}\n', "holds 2018 metadata .* Put it under source.metadata"),
        ("ratings.csv", b"u1,i1,5.0,1400000000\n", "cannot tell whether the items or the users come first"),
    ],
)
def test_ingest_names_a_file_it_cannot_read(ingested, raw, tmp_path, name, content, match):
    fails(ingested, tmp_path, match, raw(name, content))


def test_ingest_reads_reviews_once_the_file_that_is_named_holds_some(ingested, raw, review, tmp_path):
    fails(ingested, tmp_path, "no line holds a review. Check the files of source.reviews", raw("r.json", b"\n\n"))

    assert ingested(raw("r.json", [review()])).counts_of("r.json")["written"] == 1


def test_ingest_names_a_folder_without_files(ingested, tmp_path):
    (tmp_path / "nothing" / "inside").mkdir(parents=True)

    fails(ingested, tmp_path, "nothing' finds no file", tmp_path / "nothing")


def test_ingest_names_a_path_that_is_not_there(ingested, tmp_path):
    fails(ingested, tmp_path, "source.reviews: .*nowhere.json' finds no file", tmp_path / "nowhere.json")


def test_ingest_names_reviews_among_the_metadata(ingested, raw, review, tmp_path):
    path = raw("reviews.json", [review()])

    fails(ingested, tmp_path, "source.metadata: .*Put it under source.reviews", path, path)


def test_ingest_fails_on_too_many_rejects(ingested, raw, review, tmp_path):
    path = raw("reviews.json", [review()] * 98 + ["broken"] * 2)

    fails(ingested, tmp_path, r"2 of 100 lines were rejected.*reviews.json \(malformed: 2\)", path)


def test_ingest_allows_the_rejects_it_may(ingested, raw, review):
    path = raw("reviews.json", [review()] * 99 + ["broken"])

    assert ingested(path).counts_of("reviews.json")["rejects"] == {"malformed": 1}


@pytest.fixture
def cut(raw, review):
    """A .gz of 1,000 lines that ends within line 501 or soon after, and the whole lines that are left."""
    lines = [review(asin=f"B{number:05d}", reviewText=f"{number * 7919:x}" * 9) for number in range(1000)]
    whole = raw("cut.json.gz", lines).read_bytes()
    path = raw("cut.json", whole[: len(whole) // 2]).rename(raw("x", b"").parent / "cut.json.gz")
    try:
        gzip.decompress(path.read_bytes())
    except EOFError:
        return path
    raise AssertionError("the archive is not cut off")


def test_ingest_fails_on_a_cut_archive(ingested, cut, tmp_path):
    fails(ingested, tmp_path, "cut.json.gz: is cut off or damaged .*on_truncated=keep", cut)


def test_ingest_fails_on_a_cut_archive_that_the_cluster_would_leave_out(spark, ingested, cut, tmp_path):
    spark.conf.set("spark.sql.files.ignoreCorruptFiles", "true")
    try:
        fails(ingested, tmp_path, "cut.json.gz: is cut off or damaged .*on_truncated=keep", cut)
    finally:
        spark.conf.unset("spark.sql.files.ignoreCorruptFiles")


def test_ingest_keeps_the_whole_lines_of_a_cut_archive(ingested, cut):
    made = ingested(cut, on_truncated="keep")

    counts = made.counts_of("cut.json.gz")
    items = [item for (item,) in made.rows("reviews", "item_id")]
    assert items == [f"B{number:05d}" for number in range(len(items))]
    assert 300 < len(items) < 700
    assert counts["lines"] == len(items) + 1
    assert counts["rejects"] == {"truncated": 1}
    [(line, reason)] = made.rows("rejects", "line", "reason")
    assert reason == "truncated"
    assert '"overall"'.startswith(line[1:10]) or line.startswith('{"overall"')


def test_ingest_fails_on_a_damaged_archive(ingested, raw, review, tmp_path):
    path = raw("bad.json.gz", [review()] * 500)
    content = bytearray(path.read_bytes())
    content[-8:-4] = b"\0\0\0\0"  # The checksum.
    path.write_bytes(bytes(content))

    fails(ingested, tmp_path, "bad.json.gz: is cut off or damaged", path)


def test_ingest_fails_on_a_cut_zst(ingested, raw, review, tmp_path):
    content = zstandard.compress("".join(f"{review(asin=f'B{number}')}\n" for number in range(5000)).encode())
    path = raw("cut.json.zst", content[: len(content) // 2])

    fails(ingested, tmp_path, "cut.json.zst: is cut off or damaged", path)


def test_ingest_says_what_a_workdir_without_permission_is(ingested, raw, review, tmp_path):
    (tmp_path / "work").write_text("a file where the folder should be")

    with pytest.raises(SeqrecError, match="work"):
        ingested(raw("reviews.json", [review()]))


def test_ingest_publishes_nothing_when_it_fails_the_second_time(ingested, raw, review):
    path = raw("reviews.json", [review()])
    first = ingested(path).manifest
    raw("reviews.json", ["broken"] * 5 + [review()])

    with pytest.raises(DataError):
        ingested(path)

    raw("reviews.json", [review()])
    assert ingested(path).manifest.id == first.id


def test_ingest_fails_where_text_follows_an_archive(ingested, raw, review, tmp_path):
    path = raw("two.json.gz", [review()] * 500)
    path.write_bytes(path.read_bytes() + f"{review()}\n".encode() * 3)

    fails(ingested, tmp_path, "two.json.gz: is cut off or damaged", path)
