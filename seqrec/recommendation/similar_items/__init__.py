"""The stage that lists, for every item, the items that often come next or are alike."""
