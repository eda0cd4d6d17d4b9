"""What a person will do next: trained, judged, calibrated, explained. Begin with `training`.

Pure: arrays in, arrays out; no clock and no randomness of its own. numpy, scipy and scikit-learn
are imported where they are used, so that importing this costs nothing.
"""

from engine.learning.scores.cold_start import Prior, is_cold
from engine.learning.scores.drift import Drift, Matured, Moved, Reference, drift, matured
from engine.learning.scores.folds import Fold
from engine.learning.scores.promotion import Promotion
from engine.learning.scores.reasons import Reason
from engine.learning.scores.trained import Trained
from engine.learning.scores.training import train

__all__ = [
    "Drift",
    "Fold",
    "Matured",
    "Moved",
    "Prior",
    "Promotion",
    "Reason",
    "Reference",
    "Trained",
    "drift",
    "is_cold",
    "matured",
    "train",
]
