"""How many messages are too many: read from caps that were drawn by lot, never from what was sent.

Who gets much is who acts much: a curve over what people happened to get always says "more". So a
dose is the cap that a person drew, and what it is worth is counted for everybody who drew it, sent
to or not. Begin with `doses`, what is known; `curves` says what each dose is worth, `choosing`
which to take.
"""

from engine.learning.frequency.choosing import Chosen, choose
from engine.learning.frequency.curves import Curve, curve
from engine.learning.frequency.doses import Doses, Worth

__all__ = ["Chosen", "Curve", "Doses", "Worth", "choose", "curve"]
