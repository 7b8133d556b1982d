import pytest

from seqrec.core.errors import did_you_mean, first_line, nearest, reason_of


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a.json: is empty.\nTraceback"), "a.json: is empty."),
        (ValueError("\n a.json \n"), "a.json"),
        (KeyError(), "KeyError"),
        ("text", "text"),
    ],
)
def test_first_line_is_the_beginning_of_the_text_or_else_the_class(error, line):
    assert first_line(error) == line


def test_a_reason_stands_inside_a_sentence():
    assert reason_of(OSError("cannot open.\nmore")) == "cannot open"


def test_did_you_mean_names_the_nearest_or_nothing():
    known = ["a2svd", "gru", "sli_rec"]

    assert did_you_mean("slirec", known) == " Did you mean 'sli_rec'?"
    assert did_you_mean("transformer", known) == ""
    assert nearest("grrrrrru", known) is None
    assert nearest("grrrrrru", known, cutoff=0.4) == "gru"
