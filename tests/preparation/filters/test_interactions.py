from seqrec.preparation.filters.interactions import keep_groups, with_item_groups


def test_a_review_without_a_group_is_kept_by_that_of_its_item(spark):
    reviews = spark.createDataFrame(
        [("ann", "a", None), ("bob", "b", None), ("cid", "a", "Books"), ("dan", "unknown", None)],
        "user_id string, item_id string, group string",
    )
    items = spark.createDataFrame([("a", "Toys"), ("b", None), ("c", "Toys")], "item_id string, group string")

    known = reviews.transform(with_item_groups, items)

    assert known.columns == reviews.columns
    assert {row["user_id"]: row["group"] for row in known.collect()} == {
        "ann": "Toys",
        "bob": None,
        "cid": "Books",
        "dan": None,
    }
    assert [row["user_id"] for row in known.transform(keep_groups, ["Toys"]).collect()] == ["ann"]
