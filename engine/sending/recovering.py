"""What becomes of attempts that a dead process left open.

Nobody knows whether the provider was called. Marketing is at most once, so it ends as unknown;
transactional topics, and messages whose key the provider still holds, are tried again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from channels.base import Provider
from engine.core.model.instants import Instant
from engine.release.playbook import Playbook
from engine.sending import answers
from engine.sending.attempts import is_transactional
from engine.store.connection import Row
from engine.store.queue import NO_DOUBT, Doubt, Outcome

WHY: Final = "the process stopped before the provider's answer was recorded"


def settled(
    rows: Sequence[Row],
    known: Mapping[int, Mapping[str, Doubt]],
    *,
    playbook: Playbook,
    providers: Mapping[str, Provider],
    now: Instant,
) -> list[Outcome]:
    """The outcomes of `queue.unfinished` rows, given what earlier attempts left open."""
    outcomes = []
    for message, number, topic, account, started_at in rows:
        doubts = known.get(message, {})
        before = doubts.get(account, NO_DOUBT)
        doubt = Doubt(before.n_ambiguous + 1, before.since or started_at)
        n_elsewhere = sum(it.n_ambiguous for name, it in doubts.items() if name != account)
        provider, is_first = providers.get(account), is_transactional(playbook, topic)
        is_again = (
            provider is not None
            and doubt.n_ambiguous + n_elsewhere < answers.ATTEMPTS_MAX
            and answers.may_repeat(
                provider.capabilities,
                is_transactional=is_first,
                doubt=doubt,
                n_elsewhere=n_elsewhere,
                at=now,
            )
        )
        outcomes.append(
            Outcome(
                message,
                number,
                "ambiguous",
                "queued" if is_again else "unknown",
                WHY,
                now,
                now,
                detail=WHY,
                stays_with="" if is_first else account,
            )
        )
    return outcomes
