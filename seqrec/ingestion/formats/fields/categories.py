"""Category paths, cut before the first element that is not a category.

The paths of the 2018 metadata run from the department downwards, but text of the pages they were read from leaks into
their ends: 510 of the 1,547 gift cards end in feature bullets ("No expiration, no fees.", "Variety of designs for any
occasion."), others in `</span></span></span>` and the text after it. After the first element that is not a category
none is. So a path is read from its start and cut at the first element that

- is empty or missing, or
- holds markup (`<` or `>`), or
- ends as a sentence does (`.`, `!`, `?`, `;`, `:` or `,`), or states a percentage, or
- is longer than 60 characters, or
- is one of the item's own feature bullets.

The rest is the path; its last element is the category. An item whose path is empty has no category. On the gift
cards this leaves two categories, "Gift Cards" (1,514 items) and "Gift Card Accessories" (28), and 5 items without.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from seqrec.ingestion.formats.fields.record_fields import decoded

_MAX_LENGTH = 60  # Characters of a category at most; the longest real names have about 50.
_NO_CATEGORY = r"^\s*$|[<>%]|[.!?;:,]\s*$"


def decoded_path(path: Column, features: Column) -> Column:
    """`category_path` of texts with HTML entities, decoded first: they end in a semicolon, like a sentence."""
    return category_path(F.transform(path, decoded), F.transform(features, decoded))


def category_path(path: Column, features: Column) -> Column:
    """The elements of `path` before the first that is not a category.

    Args:
        features: the item's feature bullets, or null.
    """
    position = F.array_position(F.transform(path, lambda element: _is_no_category(element, features)), True)
    return F.when(position > 0, F.slice(path, F.lit(1), F.greatest(position.cast("int") - 1, F.lit(0)))).otherwise(path)


def last_of(path: Column) -> Column:
    """The deepest category; null for an empty or missing path."""
    return F.when(F.size(path) > 0, F.element_at(path, -1))


def _is_no_category(element: Column, features: Column) -> Column:
    leaked = F.coalesce(F.array_contains(features, element), F.lit(False))
    return element.isNull() | element.rlike(_NO_CATEGORY) | (F.length(element) > _MAX_LENGTH) | leaked
