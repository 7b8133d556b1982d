"""The fields of reviews and items under the names of any edition, as those of one."""

from collections.abc import Mapping
from typing import Any

from seqrec.ingestion.formats.fields.literals import Record, number, truth, whole

_MILLISECONDS = 1000  # In a second: the unit of the times of 2023.


def review_of_2018(record: Record) -> tuple[dict[str, Any], bool]:
    """A review of 2014, 2018 or 2023 in the names and units of 2018; whether values were converted."""
    used, is_converted = _review(record)
    return {
        "reviewerID": used["user"],
        "asin": used["item"],
        "overall": used["rating"],
        "unixReviewTime": _in_seconds(used["time"]) if used["is_of_2023"] else used["time"],
        "verified": used["verified"],
        "vote": used["votes"],
    }, is_converted


def review_of_2023(record: Record) -> tuple[dict[str, Any], bool]:
    """A review of 2014, 2018 or 2023 in the names and units of 2023; whether values were converted."""
    used, is_converted = _review(record)
    return {
        "user_id": used["user"],
        "parent_asin": used["item"],
        "rating": used["rating"],
        "timestamp": used["time"] if used["is_of_2023"] else _in_milliseconds(used["time"]),
        "verified_purchase": used["verified"],
        "helpful_vote": used["votes"],
    }, is_converted


def item_of_2018(record: Record) -> tuple[dict[str, Any], bool]:
    """An item of 2014, 2018 or 2023 in the names of 2018."""
    paths = _first(record, "category", "categories")
    related = record.get("related")
    related = related if isinstance(related, Mapping) else {}
    return {
        "asin": _first(record, "parent_asin", "asin"),
        "category": paths[0] if isinstance(paths, list) and paths and isinstance(paths[0], list) else paths,
        "title": record.get("title"),
        "brand": _first(record, "brand", "store"),
        "price": record.get("price"),
        "main_cat": _first(record, "main_cat", "main_category"),
        "also_buy": _first(record, "also_buy") or related.get("also_bought"),
        "also_view": _first(record, "also_view") or related.get("also_viewed"),
        "feature": _first(record, "feature", "features"),
    }, False


def item_of_2023(record: Record) -> tuple[dict[str, Any], bool]:
    """An item of 2014, 2018 or 2023 in the names of 2023, without lists of other items."""
    used, is_converted = item_of_2018(record)
    return {
        "parent_asin": used["asin"],
        "categories": used["category"],
        "title": used["title"],
        "store": used["brand"],
        "price": used["price"],
        "main_category": used["main_cat"],
        "features": used["feature"],
    }, is_converted


def _review(record: Record) -> tuple[dict[str, Any], bool]:
    is_of_2023 = "user_id" in record or ("timestamp" in record and "unixReviewTime" not in record)
    given = {
        "rating": _first(record, "overall", "rating"),
        "time": _first(record, "timestamp", "unixReviewTime") if is_of_2023 else record.get("unixReviewTime"),
        "verified": _first(record, "verified", "verified_purchase"),
    }
    used = {"rating": number(given["rating"]), "time": whole(given["time"]), "verified": truth(given["verified"])}
    is_converted = any(type(used[name]) is not type(given[name]) for name in used)
    votes = _first(record, "vote", "helpful", "helpful_vote")
    return {
        "user": _first(record, "user_id", "reviewerID"),
        "item": _first(record, "parent_asin", "asin"),
        "votes": votes,
        "is_of_2023": is_of_2023,
        **used,
    }, is_converted


def _first(record: Record, *names: str) -> Any:
    """The value of the first of `names` that is there and not null."""
    return next((value for name in names if (value := record.get(name)) is not None), None)


def _in_seconds(time: Any) -> Any:
    return time // _MILLISECONDS if type(time) is int else time


def _in_milliseconds(time: Any) -> Any:
    return time * _MILLISECONDS if type(time) is int else time
