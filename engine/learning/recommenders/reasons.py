"""Why an item is shown, in words for the person who is shown it and for the marketer who asks."""

from collections.abc import Collection, Mapping
from typing import Final

from engine.learning.recommenders.recommender import Pick

_OF_SOURCE: Final = {
    "segment_popular": "liked by people like you",
    "category_popular": "popular in its category",
    "popular": "popular now",
    "new": "new",
    "editorial": "chosen by us",
}


def reason_words(pick: Pick, titles: Mapping[str, str], *, bought: Collection[str] = ()) -> str:
    """`because you bought Green Tea and liked Teapot`; of fallbacks what they are.

    Args:
        titles: By item, as the catalog has them now; what has none any more is not cited.
        bought: What the person bought; other reasons are called liked.
    """
    cited = [it.item for it in pick.reason if titles.get(it.item)]
    if not cited:
        return _OF_SOURCE.get(pick.source, "picked for you")
    parts = []
    for verb, wanted in (("bought", True), ("liked", False)):
        named = [titles[it] for it in cited if (it in bought) == wanted]
        if named:
            parts.append(f"{verb} {_joined(named)}")
    return f"because you {' and '.join(parts)}"


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
