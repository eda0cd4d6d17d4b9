"""Groups of people found by what they do, named in words, and the same ones from run to run.

Begin with `fitting.fit`; `found.Clusters` is what comes of it, `holding.hold` what is published of
it, `report` what people read.
"""

from engine.learning.clusters.fitting import fit
from engine.learning.clusters.found import Assignment, Clusters
from engine.learning.clusters.holding import Standing, hold, transitions
from engine.learning.refusals import Refused

__all__ = ["Assignment", "Clusters", "Refused", "Standing", "fit", "hold", "transitions"]
