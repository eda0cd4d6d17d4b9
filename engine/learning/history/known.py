"""What counts as known at an instant: it had happened, and we had been told."""

from typing import ClassVar

from msgspec import Struct

from engine.core.model.instants import Instant


class Known(Struct, frozen=True):
    """The line between what may be learnt from and what came after.

    Attributes:
        as_of: Only events that occurred before it count.
        told_by: Only events accepted before it count; `as_of` itself unless a history that was
            imported in one go is looked back on.
        since: Only events from then on count. One from before 1970 is a clock gone wrong.
    """

    as_of: Instant
    told_by: Instant
    since: Instant = 0

    where: ClassVar[str] = "at < ? AND accepted_at < ? AND at >= ?"
    """The condition on a row of the log."""

    @property
    def params(self) -> tuple[Instant, ...]:
        """The values of `where`."""
        return (self.as_of, self.told_by, self.since)
