"""The end of a world: let everything that is under way end, so that the invariants may be asked."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from engine.core.model.instants import HOUR, SECOND, Instant
from tests.rig import acts
from tests.rig.plan import START

if TYPE_CHECKING:
    from tests.rig.world import World

TURNS_MAX: Final = 600
"""A bound on every loop: an engine that makes no progress is a finding, not a hang."""


def drain(world: "World") -> None:
    """First with time passing, then the outbox alone: what it brings back is played no more."""
    world.now = max(world.now, START) + HOUR
    if not world.plan.is_virtual and world.rng.random() < 0.5:
        world.living(partial(acts.resume_all, world))
    for hours in (1, 5, 13):
        _settle_down(world)
        world.now += hours * HOUR
    world.is_closing = True
    _settle_down(world)
    world.stop_at = world.now
    world.now += 1
    _quiet(world, _answer_everyone)
    for _ in range(TURNS_MAX):
        _quiet(world, _drain_all)
        due = world.living(partial(_next_message, world))
        if due is not None:
            world.now = max(world.now, due, _reopens_at(world)) + SECOND
        elif world.is_alive:
            break
    _quiet(world, _say_everything)
    _quiet(world, _say_everything)
    _quiet(world, acts.tick)


def _settle_down(world: "World") -> None:
    _quiet(world, _answer_everyone)
    for _ in range(2):
        _quiet(world, acts.tick)
        _quiet(world, _drain_all)
    _quiet(world, _say_everything)
    _quiet(world, acts.tick)


def _quiet(world: "World", act: Callable[["World"], Any]) -> None:
    """Until it has found nothing to do."""
    for _ in range(TURNS_MAX):
        is_busy = world.living(partial(act, world))
        world.now += 1
        if is_busy is False:
            return
    raise AssertionError(f"no end to {act.__name__}: the engine makes no progress")


def _drain_all(world: "World") -> bool:
    is_busy = acts.drain_channel(world, "email", limit=world.rng.choice((3, 200)))
    for channel in ("sms", "webhook"):
        is_busy |= acts.drain_channel(world, channel, limit=200)
    return is_busy


def _answer_everyone(world: "World") -> bool:
    if world.clients.unanswered:
        acts.hand_in(world, [world.clients.unanswered[0]])
        return True
    return False


def _say_everything(world: "World") -> bool:
    """Providers repeat all they ever reported, in any order, until all has been taken in."""
    for name, known in world.ledger.reports.items():
        acts.take_reports(world, name, world.rng.sample(known, k=len(known)))
    return False


def _reopens_at(world: "World") -> Instant:
    """When the first channel that rests may be called again; now if none does."""
    if not world.is_alive:
        return world.now
    return world.process.outbox.paces.opens_at(now=world.now)


def _next_message(world: "World") -> Instant | None:
    with world.process.database.read() as connection:
        rows = connection.execute(
            "SELECT min(due_at) FROM message WHERE status IN ('queued', 'attempting')"
        )
    return None if rows[0][0] is None else int(rows[0][0])
