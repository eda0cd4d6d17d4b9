"""Items for people: trained on what people did, asked one person at a time, judged by the future.

`train` gives a `Recommender` (or raises `Refused`), `Recommender.recommend` gives `Pick`s with
their source and reason, `everybody` lists for all; `artifact_of` keeps one. `evaluate` says how
good the lists are, `judge` whether to serve them; `settle` does all of it, as a refresh does.
Pure on arrays: the log is read by `engine.learning.history`, kept by `engine.learning.registry`.
Begin with `recommender`; then `training`, `engines`, `choosing`, `evaluation`.
"""

from engine.learning.recommenders.evaluation import Evaluation, evaluate
from engine.learning.recommenders.everybody import everybody
from engine.learning.recommenders.exclusions import Exclusion, exclusion
from engine.learning.recommenders.judging import judge
from engine.learning.recommenders.keeping import artifact_of, recommender_of
from engine.learning.recommenders.likings import Interactions
from engine.learning.recommenders.recommender import Because, Pick, Recommender
from engine.learning.recommenders.reporting import page, text
from engine.learning.recommenders.settling import Settled, settle
from engine.learning.recommenders.tastes import Deed
from engine.learning.recommenders.training import train

__all__ = [
    "Because", "Deed", "Evaluation", "Exclusion", "Interactions", "Pick", "Recommender", "Settled",
    "artifact_of", "evaluate", "everybody", "exclusion", "judge", "page", "recommender_of",
    "settle", "text", "train",
]  # fmt: skip
