"""What a person will still buy, from what they bought: counted days, no other feature.

Two models that share nothing: how often somebody comes and when they stop coming (`bg_nbd`), and
what they spend when they come (`gamma_gamma`). `value` puts them together and proves them on days
they never saw; `rfm` is the older way, five ranks and a name. Begin with `repeats`: what both are
fitted to.
"""

from engine.learning.lifetime.bg_nbd import BgNbd, fit_bg_nbd
from engine.learning.lifetime.gamma_gamma import GammaGamma, fit_gamma_gamma
from engine.learning.lifetime.learning import Learnt, learn
from engine.learning.lifetime.repeats import Repeats, repeats_of
from engine.learning.lifetime.rfm import Rfm, cells, fit_rfm
from engine.learning.lifetime.value import Lifetime, lifetime_value

__all__ = [
    "BgNbd",
    "GammaGamma",
    "Learnt",
    "Lifetime",
    "Repeats",
    "Rfm",
    "cells",
    "fit_bg_nbd",
    "fit_gamma_gamma",
    "fit_rfm",
    "learn",
    "lifetime_value",
    "repeats_of",
]
