"""Versions that people stand in and this process has not loaded.

A batch that was under way while the next release went live may let someone into a version that
nobody else stands in, after the new release was loaded without it. They must not be dropped for
what we do not know: the batch is refused once and the release loaded anew.
"""

from collections.abc import Iterable

from engine.core.errors import Outdated
from engine.core.model import Person, Program
from engine.core.roster import roster_of


class Strangers:
    """Remembers which versions a fresh load was asked for, so that what is gone holds up nobody."""

    def __init__(self) -> None:
        self._asked: set[tuple[str, str]] = set()

    def look(self, people: Iterable[Person], program: Program) -> None:
        """Check everyone of a batch before they are played.

        Raises:
            Outdated: If someone stands in a version that we do not know; the second time it is
                gone, and the core says so where they stand.
        """
        versions = roster_of(program).versions
        found = {
            (each.campaign, each.version)
            for person in people
            for each in person.enrollments
            if (each.campaign, each.version) not in versions
        }
        if not found <= self._asked:
            self._asked |= found
            raise Outdated

    def settled(self) -> None:
        """A batch was committed: whoever is met from now on is asked for again."""
        self._asked.clear()
