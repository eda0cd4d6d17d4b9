"""A channel with a backup on a stage: two providers, each with a ledger, of which one goes down."""

from collections import Counter
from dataclasses import replace
from typing import Any, cast

from channels.base import Accepted, Ambiguous, NotSent, OutMessage, Receipt
from channels.pace import Breaker
from engine.core.model.instants import SECOND, Instant
from engine.sending.lanes import Pace
from tests.rig.crowd import Server
from tests.rig.stage import Stage

FIRST, SECOND_ONE = "sms", "sms_two"


class Account(Server):
    """A provider that is down for a while, and loses a share of its replies when it is not."""

    def __init__(self, name: str, stage: Stage, *, idempotency_hours: int, lost_share: float):
        super().__init__("sms", idempotency_hours=idempotency_hours, seed=len(name))
        self.name = f"server-{name}"
        self._stage = stage
        self._lost_share = lost_share
        self.outages: list[tuple[Instant, Instant]] = []
        self.refusal: Receipt | None = None
        self.lost: Counter[int] = Counter()
        self.called_at: list[tuple[Instant, int, bool]] = []

    @property
    def is_down(self) -> bool:
        return any(since <= self._stage.now < until for since, until in self.outages)

    def present(self) -> float:
        return self._stage.now / SECOND

    def answer(self, message: OutMessage) -> tuple[Receipt, bool]:
        self.called_at.append((self._stage.now, message.id, self.is_down))
        if self.is_down:
            return self.refusal or NotSent("connection refused"), False
        if self.rng.random() < self._lost_share:
            self.lost[message.id] += 1
            return Ambiguous("reply lost"), self.rng.random() < 0.5
        return Accepted(f"{self.name}-{message.id}"), True


def with_backup(
    stage: Stage,
    *,
    lost_share: float = 0.0,
    keys: tuple[int, int] = (1, 0),
    failures: int = 5,
    **settings: Any,
) -> tuple[Account, Account]:
    """Give the stage's `sms` a backup; both providers, the first and the other.

    Args:
        keys: For how many hours each honours our key.
        failures: So many in a row open a breaker: with lost replies more than fall together.
        settings: More of the first channel's form, by field.
    """
    accounts = (
        Account(FIRST, stage, idempotency_hours=keys[0], lost_share=lost_share),
        Account(SECOND_ONE, stage, idempotency_hours=keys[1], lost_share=lost_share),
    )
    providers = cast(dict[str, Any], stage.process.providers)
    providers.update(zip((FIRST, SECOND_ONE), accounts, strict=True))
    playbook = stage.process.playbook
    form = playbook.workspace.settings.channels[FIRST]  # type: ignore[index]
    channels: Any = {
        **playbook.workspace.settings.channels,
        FIRST: form.model_copy(update={"backup": SECOND_ONE, **settings}),
        SECOND_ONE: form.model_copy(update={"kind": "sms"}),
    }
    changed = playbook.workspace.settings.model_copy(update={"channels": channels})
    workspace = replace(playbook.workspace, settings=changed)
    stage.process.playbook = replace(playbook, workspace=workspace)
    for name, account in zip((FIRST, SECOND_ONE), accounts, strict=True):
        # Lost replies alone leave it closed: what is tested is an outage, of refused connections.
        pace_of(stage, name)._breaker = Breaker(rng=account.rng, share=2.0, failures=failures)
    return accounts


def pace_of(stage: Stage, channel: str) -> Pace:
    return stage.process.outbox.paces.of(channel)
