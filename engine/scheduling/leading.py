"""Which of several processes does a duty for all of them, while it lives."""

from engine.core.model.instants import Instant
from engine.store.connection import Connection


def lead(connection: Connection, duty: str, *, owner: str, now: Instant, until: Instant) -> bool:
    """Take or keep the duty until an instant; False while another has it.

    It saves work and guards nothing: what is done under it must itself bear two at once.
    """
    return bool(
        connection.execute(
            "INSERT INTO leader (duty, owner, held_until) VALUES (?, ?, ?) "
            "ON CONFLICT (duty) DO UPDATE SET owner = excluded.owner, "
            "held_until = excluded.held_until "
            "WHERE leader.owner = excluded.owner OR leader.held_until <= ? RETURNING owner",
            (duty, owner, until, now),
        )
    )


def step_down(connection: Connection, duty: str, *, owner: str) -> None:
    """Leave the duty to whoever asks next: a clean stop."""
    connection.execute("DELETE FROM leader WHERE duty = ? AND owner = ?", (duty, owner))
