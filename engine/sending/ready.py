"""Between the claim of a message and its call: composed and ready, or held with a verdict."""

from dataclasses import dataclass

from channels.base import Provider
from engine.core.model.instants import Instant
from engine.sending.answers import Case
from engine.sending.composing import Composed
from engine.store.queue import NO_DOUBT, Doubt, Queued

Verdict = tuple[int, str, str, Instant]
"""(message, status, reason, due) of one that is not called for now."""


@dataclass(frozen=True)
class Ready:
    """A composed message whose attempt is committed: the provider may be called.

    Attributes:
        account: The channel whose provider it is: the message's own, or its backup.
        domain: Of an e-mail's recipient; in memory only.
        doubt, n_elsewhere: What earlier calls left open, by this channel and by others.
    """

    queued: Queued
    composed: Composed
    address_hash: str
    doubt: Doubt = NO_DOUBT
    number: int = 0
    account: str = ""
    domain: str = ""
    n_elsewhere: int = 0

    @property
    def went_to(self) -> str:
        """The hash of the address that is really called: in test mode not the addressee's."""
        return self.composed.went_to or self.address_hash

    def case(self, provider: Provider, *, is_transactional: bool, started_at: Instant) -> Case:
        """What the answer to this attempt is judged by."""
        return Case(
            self.queued, self.number, self.address_hash, provider.name, provider.capabilities,
            self.doubt, is_transactional, started_at, self.account, self.n_elsewhere,
        )  # fmt: skip

    @property
    def note(self) -> str:
        """What people should know of it beside that it was sent."""
        if not self.n_elsewhere:
            return self.composed.note
        words = "possible duplicate: another channel was called before and its answer was lost"
        return f"{self.composed.note}; {words}" if self.composed.note else words
