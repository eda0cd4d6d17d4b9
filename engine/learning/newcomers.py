"""Newcomers: who did next to nothing yet is expected to do what others did who came as they did.

A score of somebody with a visit to their name says more about the model than about them. So they
get the mean of people of the same device and country, weighed, and are marked as guessed.
Read next: `scores.cold_start`.
"""

from typing import TYPE_CHECKING, Any

from engine.learning.features import FeatureTable
from engine.learning.scores import Prior, is_cold

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTED = ("n_sessions", "frequency")
"""What somebody did, added up: visits, and days with a purchase."""
ORIGIN = ("device", "country")


def newcomers(
    today: FeatureTable, earlier: FeatureTable, labels: "NDArray[Any]"
) -> dict[int, float]:
    """What is foretold of those who did next to nothing until today, by profile.

    Nobody's where the features tell neither what people did nor where they came from.

    Args:
        earlier: People whose outcome is known, in the order of `labels`.
    """
    columns = {*today.numbers, *today.texts}
    if not len(earlier) or not columns.issuperset((*COUNTED, *ORIGIN)):
        return {}
    device, country = (earlier.texts[name].tolist() for name in ORIGIN)
    prior = Prior.fit(labels.tolist(), device, country)
    did = (today.numbers[COUNTED[0]] + today.numbers[COUNTED[1]]).tolist()
    came_from = zip(*(today.texts[name].tolist() for name in ORIGIN), strict=True)
    return {
        profile: prior.of(*origin)
        for profile, n, origin in zip(today.ids.tolist(), did, came_from, strict=True)
        if is_cold(n)
    }
