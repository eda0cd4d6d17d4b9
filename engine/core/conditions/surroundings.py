"""What one condition may know while it is compiled, whatever stands around it."""

from collections.abc import Mapping
from typing import Final

from engine.core.features.kinds import Register
from engine.core.model.campaigns import MemberList, Profiling

NO_LISTS: Final[Mapping[str, MemberList]] = {}
USUAL: Final = Profiling()


class Surroundings:
    """The features that are registered so far, and what the workspace says once for all.

    `session_gap` is in microseconds; `lists` are members by the list's name.
    """

    def __init__(
        self,
        *,
        session_gap: int,
        lists: Mapping[str, MemberList] = NO_LISTS,
        profiling: Profiling = USUAL,
    ) -> None:
        self.session_gap = session_gap
        self.lists = lists
        self.profiling = profiling
        self.register = Register()
