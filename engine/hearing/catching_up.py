"""What an outcome brings up to date: reports that were faster than the answer, refusals to be
reached that the provider knew of and we did not.

Runs in the transaction that commits the outcomes.
"""

from collections.abc import Sequence

from engine.consent.unsubscribe import PROVIDER, withdraw
from engine.hearing.attribution import Speaker
from engine.hearing.hear import hear_strays
from engine.hearing.settling import settle_reported
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.queue import Outcome


def catch_up(
    connection: Connection,
    outcomes: Sequence[Outcome],
    *,
    speaker: Speaker,
    log: EventLog,
) -> None:
    """Act on what was said of these messages before, and on what was answered now."""
    if not outcomes:
        return
    now = max(it.at for it in outcomes)
    hear_strays(
        connection,
        [it.provider_id for it in outcomes],
        speaker=speaker,
        log=log,
        now=now,
    )
    settle_reported(
        connection, [it.message for it in outcomes if it.outcome == "ambiguous"], now=now
    )
    for it in outcomes:
        if it.is_opt_out:
            withdraw(
                connection,
                message=it.message,
                scope="all",
                log=log,
                now=it.at,
                proof=f"{speaker.provider} refused the message: they opted out there",
                source=PROVIDER,
            )
