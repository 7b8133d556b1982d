"""Names of all columns on disk: the only place where a column name is spelled out. And the unit of their times."""

SECONDS_PER_DAY = 86_400

# reviews, items, rejects (written by ingest)
USER = "user_id"
ITEM = "item_id"
RATING = "rating"
TIMESTAMP = "timestamp"  # Seconds since 1970, UTC.
VERIFIED = "verified"
VOTES = "votes"  # Number of helpful votes; null if the line names none.
GROUP = "group"  # High-level group of the dump, such as "Gift Cards".
LINE_HASH = "line_hash"
CATEGORY = "category"
CATEGORY_PATH = "category_path"
TITLE = "title"
BRAND = "brand"
PRICE = "price"
ALSO_BUY = "also_buy"
ALSO_VIEW = "also_view"
SOURCE = "source"  # The raw file that a reject came from, or the way that a candidate was found.
REASON = "reason"
LINE = "line"

# vocabulary
ITEM_INDEX = "item_index"
CATEGORY_INDEX = "category_index"
TRAIN_COUNT = "train_count"

# features
FEATURE_ROW = "feature_row"
FEATURE_VALUE = "feature_value"

# sequences
ITEM_INDICES = "item_indices"
TIMESTAMPS = "timestamps"
FIRST_TIMESTAMP = "first_timestamp"  # Time of the user's first event, not of the segment's.
NUM_CONTEXT = "num_context"
POSITION = "position"  # Number of the user's events before the target.
HISTORY_ITEMS = "history_items"
HISTORY_TIMESTAMPS = "history_timestamps"
TARGET_ITEM = "target_item"
TARGET_TIMESTAMP = "target_timestamp"
NEGATIVE_ITEMS = "negative_items"

# candidates
CANDIDATE_ITEMS = "candidate_items"
CANDIDATE_SOURCES = "candidate_sources"

# recommendations
RANK = "rank"
SCORE = "score"
