"""The real files, with the counts that are known of them; each skips where the files are not available."""

from collections import Counter

import pytest

from seqrec.core.errors import DataError


def test_ingest_gift_cards(ingested, shared_data):
    made = ingested(shared_data / "Gift_Cards_5.json.gz", shared_data / "meta_Gift_Cards.json.gz")

    reviews = made.rows("reviews", "user_id", "item_id", "group")
    items = {row[0]: row[1:] for row in made.rows("items", "item_id", "category", "group", "price")}
    assert len(reviews) == 2972
    assert len({user for user, _, _ in reviews}) == 458
    assert len({item for _, item, _ in reviews}) == 148
    assert {group for _, _, group in reviews} == {"Gift Cards"}
    categories = Counter(category for category, _, _ in items.values())
    assert categories == {"Gift Cards": 1514, "Gift Card Accessories": 28, None: 5}
    assert sum(group != "Gift Cards" for _, group, _ in items.values()) == 34
    assert made.manifest.counts["rejects"] == 0


def test_ingest_all_beauty_keeps_duplicate_lines(ingested, shared_data):
    made = ingested(shared_data / "All_Beauty_5.json.gz")

    hashes = Counter(made.rows("reviews", "line_hash"))
    assert made.manifest.counts["reviews"] == 5269
    assert len(hashes) == 5269 - 1027
    assert max(hashes.values()) == 4
    assert max(Counter(made.rows("reviews", "user_id", "item_id")).values()) == 11
    assert len(set(made.rows("reviews", "user_id"))) == 991
    assert len(set(made.rows("reviews", "item_id"))) == 85


def test_ingest_magazine_ratings(ingested, shared_data):
    made = ingested(shared_data / "Magazine_Subscriptions.csv")

    rows = made.rows("reviews", "item_id", "user_id", "rating", "timestamp", "group")
    assert len(rows) == 546
    assert ("B00005N7P0", "AH2IFH762VY5U", 5.0, 1005177600, "Magazine Subscriptions") in rows


def test_ingest_beauty_of_2014(ingested, shared_data):
    assert ingested(shared_data / "reviews_Beauty_5.json.gz").manifest.counts["reviews"] == 198_502


def test_ingest_fails_on_the_cut_music_files(ingested, shared_data):
    with pytest.raises(DataError, match="reviews_Digital_Music_5.json.gz: is cut off"):
        ingested(shared_data / "reviews_Digital_Music_5.json.gz")


def test_ingest_keeps_what_there_is_of_the_cut_music_files(ingested, shared_data):
    names = ("reviews_Digital_Music_5.json.gz", "meta_Digital_Music.json.gz")

    made = ingested(*(shared_data / name for name in names), on_truncated="keep")

    assert [made.counts_of(name)["written"] for name in names] == [6908, 7419]
    assert [made.counts_of(name)["rejects"] for name in names] == [{"truncated": 1}] * 2
    paths = made.rows("items", "category_path")
    assert sum(path[0] == "CDs & Vinyl" for (path,) in paths if path) > 7000
    assert not any("&amp;" in title for (title,) in made.rows("items", "title") if title)
