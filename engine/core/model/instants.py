"""When and who: instants, their units, and the ids of people and enrollments.

An `Instant` is integer microseconds since 1970-01-01T00:00Z: they sort, merge and pack without a
time zone to get wrong; text and `datetime` exist only at the edges (`engine.core.clocktime`).
"""

from typing import Final, NewType, TypeAlias

Instant: TypeAlias = int
"""Microseconds since the epoch, UTC."""

ProfileId = NewType("ProfileId", int)
EnrollmentId = NewType("EnrollmentId", int)

NEVER: Final[Instant] = 2**62
"""An instant that does not come: the `until` of a verdict that only an event can change."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Scalar: TypeAlias = str | int | float | bool | None
