"""The group of a raw file: the high-level category in its name."""

import re

# Names of all editions (2014, 2018, 2023), as the files spell them.
_CATEGORY_TEXT = """
All_Beauty AMAZON_FASHION Amazon_Fashion Amazon_Instant_Video Appliances Apps_for_Android Arts_Crafts_and_Sewing
Automotive Baby Baby_Products Beauty Beauty_and_Personal_Care Books CDs_and_Vinyl Cell_Phones_and_Accessories
Clothing_Shoes_and_Jewelry Digital_Music Electronics Gift_Cards Grocery_and_Gourmet_Food Handmade_Products
Health_and_Household Health_and_Personal_Care Home_and_Kitchen Industrial_and_Scientific Kindle_Store Luxury_Beauty
Magazine_Subscriptions Movies_and_TV Musical_Instruments Office_Products Patio_Lawn_and_Garden Pet_Supplies
Prime_Pantry Software Sports_and_Outdoors Subscription_Boxes Tools_and_Home_Improvement Toys_and_Games Video_Games
"""
_CATEGORIES = _CATEGORY_TEXT.split()
_BY_STEM = {category.lower(): category for category in _CATEGORIES}
_PREFIX = re.compile(r"^(reviews|ratings|meta)_")
_SUFFIX = re.compile(r"(_5|_10|_small)?(\.(jsonl?|csv|txt|gz|zst))+$")


def group_of_file(name: str) -> str | None:
    """`Movies & TV` for `reviews_Movies_and_TV_5.json.gz`; None if the name is not that of a category."""
    stem = _SUFFIX.sub("", _PREFIX.sub("", name))
    category = _BY_STEM.get(stem.lower())
    return None if category is None else category.replace("_and_", " & ").replace("_", " ")
