"""Bugs in what journeys, operators and releases promise, which the rig's seeds must find.

As in `planted`: each is a change that a reasonable person could make.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, Final

from msgspec import structs

import engine.core.journeys.migration
import engine.core.journeys.repeats
import engine.core.journeys.steps
import engine.core.play
import engine.release.rebuild
import engine.store.outcomes
import engine.ticking.tick
from engine.core.model.effects import Call, Effect
from engine.core.model.people import Round
from engine.core.scene import Scene
from engine.release import operating
from engine.sending import webhook_answers
from engine.sending.outbox import Outbox
from engine.store.connection import Connection
from engine.store.events import message_hash
from tests.rig.recorder import replaced

Bug = Callable[[], AbstractContextManager[Any]]


def an_attempted_message_gives_way() -> AbstractContextManager[Any]:
    """Rule 5: a message is displaced whatever has become of it."""

    def displace(connection: Connection, message: int, *, why: str) -> bool:
        connection.execute(
            "UPDATE message SET status = 'dropped', reason = ? WHERE id = ?", (why, message)
        )
        return True

    def still_queued(connection: Connection, messages: Sequence[int]) -> frozenset[int]:
        return frozenset(messages)

    return replaced(
        (engine.store.outcomes, "displace", displace),
        (engine.ticking.tick, "still_queued", still_queued),
    )


def moved_at_every_release() -> AbstractContextManager[Any]:
    """Rule 6: nobody remembers which release has been met, so its moves are made again."""

    def meet_operators(scene: Scene) -> Any:
        scene.state.release = 0
        return honest(scene)

    honest = engine.core.journeys.migration.meet_operators
    return replaced((engine.core.play, "meet_operators", meet_operators))


def a_pause_stops_nobody_at_the_door() -> AbstractContextManager[Any]:
    """Operators: what is paused or drained holds those inside, and lets others in."""
    return replaced((operating, "state_played", lambda written, held: written))


def unenrolments_end_nobody() -> AbstractContextManager[Any]:
    """Operators: an unenrolment is written down and acknowledged, and those inside walk on."""

    def meet_operators(scene: Scene) -> Any:
        scene.program = structs.replace(scene.program, unenrolments=())
        return honest(scene)

    honest = engine.core.journeys.migration.meet_operators
    return replaced((engine.core.play, "meet_operators", meet_operators))


def rounds_begin_anew() -> AbstractContextManager[Any]:
    """A repeat counts from one whenever a round begins."""

    def begin(scene: Scene, enrollment: Any, step: Any, number: int) -> Any:
        onward = honest(scene, enrollment, step, number)
        enrollment.rounds[step.id] = Round(1, scene.now)
        return onward

    honest = engine.core.journeys.repeats._begin
    return replaced((engine.core.journeys.repeats, "_begin", begin))


def answers_are_told_again() -> AbstractContextManager[Any]:
    """P4: what came of a webhook's call is written down by the attempt and once more by its end."""
    numbers = count()

    def tell(self: Outbox, connection: Connection, calls: Sequence[int], *, now: int) -> None:
        honest(self, connection, calls, now=now)
        again = replaced(
            (webhook_answers, "_hash", lambda it: message_hash("again", f"{it} {next(numbers)}"))
        )
        with again:
            honest(self, connection, calls, now=now)

    honest = Outbox._tell
    return replaced((Outbox, "_tell", tell))


def calls_are_not_remembered() -> AbstractContextManager[Any]:
    """P3: a webhook's call is left to whoever plays the batch, and not written with it."""

    def take(self: Any, effects: Sequence[Effect], **given: Any) -> None:
        honest(self, [it for it in effects if not isinstance(it, Call)], **given)

    honest = engine.store.outcomes.Outcomes.take
    return replaced((engine.store.outcomes.Outcomes, "take", take))


def drafts_without_their_tail() -> AbstractContextManager[Any]:
    """A backfill's draft is taken for the whole history, whatever has happened since."""
    return replaced((engine.release.rebuild, "_is_in", lambda draft, row: True))


BUGS: Final[tuple[Bug, ...]] = (
    an_attempted_message_gives_way,
    moved_at_every_release,
    a_pause_stops_nobody_at_the_door,
    unenrolments_end_nobody,
    rounds_begin_anew,
    answers_are_told_again,
    calls_are_not_remembered,
)
IN_RELEASING: Final[tuple[Bug, ...]] = (drafts_without_their_tail,)
"""Those that only a release with real files can show: see `releasing`."""
