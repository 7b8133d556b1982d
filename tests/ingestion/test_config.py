import pytest

from seqrec.ingestion.config import DownloadConfig, IngestionConfig, SourceConfig, SynthesisConfig


@pytest.mark.parametrize(
    ("config", "values", "match"),
    [
        (SourceConfig, {"kind": "sql"}, "kind: 'sql'"),
        (SourceConfig, {"kind": "files"}, "reviews: empty"),
        (SourceConfig, {"reviews": "x.json"}, "no effect with kind 'synthetic'"),
        (DownloadConfig, {"edition": "1999"}, "edition: '1999'"),
        (DownloadConfig, {"categories": ["Toys", "Books", "Toys"]}, "categories: 'Toys' is named more than once"),
        (DownloadConfig, {"num_parallel": 0}, "num_parallel: 0"),
        (DownloadConfig, {"timeout_seconds": 0.0}, "timeout_seconds: 0.0"),
        (SynthesisConfig, {"format": "xml"}, "format: 'xml'"),
        (SynthesisConfig, {"num_reviews": 10}, "num_reviews: 10 is less"),
        (SynthesisConfig, {"num_reviews": 10**9}, "num_reviews: 1000000000 is more"),
        (SynthesisConfig, {"num_items": 5}, "num_items: 5 is less"),
        (SynthesisConfig, {"taste_share": 1.5}, "taste_share: 1.5"),
        (SynthesisConfig, {"text_words": -1}, "text_words: -1"),
        (IngestionConfig, {"max_reject_fraction": 2.0}, "max_reject_fraction: 2.0"),
        (IngestionConfig, {"on_truncated": "hope"}, "on_truncated: 'hope'"),
        (IngestionConfig, {"csv_columns": "rating-first"}, "csv_columns: 'rating-first'"),
        (IngestionConfig, {"first_day": "yesterday"}, "first_day: 'yesterday'"),
        (IngestionConfig, {"first_day": "2031-01-01"}, "is after last_day"),
        (IngestionConfig, {"piece_mb": 0}, "piece_mb: 0"),
    ],
)
def test_config_says_what_is_impossible(config, values, match):
    with pytest.raises(ValueError, match=match):
        config(**values)


def test_source_config_takes_one_pattern_or_several():
    one = SourceConfig(kind="files", reviews="a.json")
    several = SourceConfig(kind="files", reviews=["a.json", "b.json"], metadata="m.json")

    assert (one.review_patterns, one.metadata_patterns) == (["a.json"], [])
    assert (several.review_patterns, several.metadata_patterns) == (["a.json", "b.json"], ["m.json"])
