"""Every vendor with an HTTP API: a `Vendor` translates, this calls.

Impure: it makes the calls. A vendor is pure and small: a request, a receipt, its callbacks, one
table of their words and ours. Read next: `email.sendgrid`, a whole one.
"""

import asyncio
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    NotSent,
    OutMessage,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import UNREADABLE, Callback, Echo
from channels.calls import Answer, Call, Question
from channels.egress import EgressRules
from channels.transport import CONNECTIONS, exchange, open_client
from engine.core.errors import Retryable, Unreadable, UsageError
from engine.core.model.instants import Instant

Found = TypeVar("Found")

QUESTIONS_MAX: Final = 4
"""Calls that a message or a callback may need before its own: a token, a certificate."""
PUBLIC: Final = EgressRules(schemes=("https",), ports=(443, 2197, 8443))
GATEWAY: Final = EgressRules(schemes=("https", "http"), ports=None, allow_private=True)
"""For a `base_url` that the operator wrote: a gateway of their own, a peer of a test."""


class Vendor(Protocol):
    """A translation between our nouns and one vendor's. Pure: it only says what to call."""

    name: str
    channel: Channel
    capabilities: Capabilities

    def call(
        self, message: OutMessage, *, now: Instant
    ) -> "Call | Receipt | Question[Call | Receipt]":
        """The request that sends a message, or why there is none (it fits no request).

        A question's answer is remembered by the vendor: it is asked again before it is called.
        """
        ...

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        """What the answer to that request means; for statuses without a meaning of their own
        `receipts.receipt_of` knows it."""
        ...

    def read_callback(self, callback: Callback, *, now: Instant) -> "Echo | Question[Echo]":
        """What a callback says. Raises: Forged, Unreadable."""
        ...


class HttpProvider:
    """A vendor on the wire.

    Args:
        rules: What may be reached: `PUBLIC`, or `GATEWAY` where the settings name a `base_url`.
        connections: Calls at once; over HTTP/2 they share one connection.
    Raises:
        UsageError: There are no certificates in `ca_file`.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        now: Clock,
        rules: EgressRules = PUBLIC,
        connections: int = CONNECTIONS,
        http2: bool = False,
        timeout_seconds: float = 10.0,
        ca_file: str | None = None,
    ) -> None:
        self.vendor = vendor
        self.name = vendor.name
        self.channel: Channel = vendor.channel
        self.capabilities = vendor.capabilities
        self._now = now
        self._asking = asyncio.Lock()
        try:
            self._client = open_client(
                rules=rules,
                connections=connections,
                http2=http2,
                timeout_seconds=timeout_seconds,
                ca_file=ca_file,
            )
        except OSError as error:  # ssl's own errors are of this kind
            why = f"channels.{vendor.channel}.ca_file holds no certificates: {error.strerror}"
            raise UsageError(why) from None

    async def deliver(self, message: OutMessage) -> Receipt:
        return _masked(await self._delivered(message), message.to)

    async def _delivered(self, message: OutMessage) -> Receipt:
        asked = self.vendor.call(message, now=self._now())
        if isinstance(asked, Question):
            # One asks for all: a hundred messages without a token need one token.
            async with self._asking:
                asked = self.vendor.call(message, now=self._now())
                try:
                    if isinstance(asked, Question):
                        asked = await self._answered(asked)
                except Retryable as error:
                    return NotSent(str(error))
        if not isinstance(asked, Call):
            return asked
        if self.channel == "email" and 0 < self.capabilities.bytes_max < len(asked.body):
            # Refused at once, not after an upload that may well time out and leave us in doubt.
            most = self.capabilities.bytes_max
            text = f"the mail has {len(asked.body):,} bytes; {self.name} takes {most:,}"
            return RefusedBy("message", "size", text, "message")
        answer = await exchange(self._client, asked)
        if not isinstance(answer, Answer):
            return answer
        try:
            return self.vendor.receipt(answer, now=self._now())
        except UNREADABLE as error:
            # Our reading of a shape that it never had before: it may well have taken the message.
            why = f"its answer ({answer.status}) cannot be read: {type(error).__name__}: {error}"
            return Ambiguous(why)

    async def read_callback(self, callback: Callback) -> Echo:
        try:
            found = self.vendor.read_callback(callback, now=self._now())
            if isinstance(found, Question):
                found = await self._answered(found)
        except UNREADABLE as error:
            raise Unreadable(f"{self.name}: {type(error).__name__}: {error}") from None
        return found

    async def close(self) -> None:
        await self._client.aclose()

    async def _answered(self, question: Question[Found]) -> Found:
        """Ask until nothing is open.

        Raises:
            Retryable: There was no end of questions.
        """
        for _ in range(QUESTIONS_MAX):
            answer = await exchange(self._client, question.call)
            found = question.then(answer if isinstance(answer, Answer) else None)
            if not isinstance(found, Question):
                return found
            question = found
        raise Retryable(f"{self.name} asked for more than {QUESTIONS_MAX} calls before its own")


def _masked(receipt: Receipt, to: str) -> Receipt:
    """The receipt without the person's address: vendors repeat it, and receipts are kept."""

    def without(text: str) -> str:
        for shown in (to, to.removeprefix("+")):
            text = text.replace(shown, "(address)") if len(shown) > 5 else text
        return text

    match receipt:
        case RefusedBy():
            return replace(receipt, text=without(receipt.text))
        case Throttled() | NotSent() | Ambiguous():
            return replace(receipt, why=without(receipt.why))
        case Accepted():
            return receipt
