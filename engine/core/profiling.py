"""Whether somebody may be profiled: what they said of it themselves, or what their silence means.

A score, a group and an hour of somebody who refuses are nobody's to read: they are forgotten as the
refusal is played (`ForgetScores`), and stay so until a run is made after another word.
Read next: `scene`, `play`; `engine.store.scores`, which keeps new ones out.
"""

from collections.abc import Mapping
from typing import Any

from engine.core.model.campaigns import Profiling


def may_be_profiled(said: Any, profiling: Profiling) -> bool:
    """Whether what someone said of profiling allows it; missing and null are silence.

    >>> may_be_profiled(True, Profiling()), may_be_profiled("no", Profiling())
    (True, False)
    """
    if said is None:
        return profiling.unknown == "allow"
    return said is True


def refusal(traits: Mapping[str, Any], profiling: Profiling) -> str:
    """Why someone with these traits is not profiled, in words; "" for who may be.

    >>> refusal({"profiling": False}, Profiling())
    'not profiled: they said profiling is false'
    """
    said = traits.get(profiling.trait)
    if may_be_profiled(said, profiling):
        return ""
    if said is None:
        return f"not profiled: they never said {profiling.trait} is true"
    # Words of their own are not repeated: any but true refuses.
    word = "false" if said is False else "something else than true"
    return f"not profiled: they said {profiling.trait} is {word}"


def has_refused(traits: Mapping[str, Any], profiling: Profiling) -> bool:
    """Whether someone has said no; who was silent has not."""
    said = traits.get(profiling.trait)
    return said is not None and said is not True
