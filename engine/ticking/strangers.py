"""What this process has not loaded yet: a newer release, or a version that people stand in.

A batch that was under way while the next release went live may let someone into a version that
nobody else stands in, after the new release was loaded without it. They must not be dropped for
what we do not know: the batch is refused once and the release loaded anew.
"""

from collections.abc import Iterable

from engine.core.errors import Outdated
from engine.core.model.campaigns import Program
from engine.core.model.people import Person
from engine.core.roster import roster_of
from engine.store.connection import Connection


def require_newest(connection: Connection, release: int) -> None:
    """Check that a batch is played by the release that is live as of its own snapshot.

    Whom a release wakes must meet that release: played by the one before, they would use up the
    wake and sleep through it.

    Raises:
        Outdated: If a newer one is live.
    """
    newest = connection.execute("SELECT max(number) FROM release")[0][0]
    if newest is not None and newest != release:
        raise Outdated


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
