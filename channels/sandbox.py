"""A provider that sends nothing: it writes messages where a person can look and invents echoes.

Impure by nature: it writes files under `directory/outbox`. What it invents is not: `echo` depends
on the seed and the message id alone, so a simulation replays it exactly.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Literal

import msgspec
from msgspec import Struct

from channels.base import (
    Accepted,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Random,
    Receipt,
    RefusedBy,
)
from channels.callbacks import Callback, Echo
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.email.headers import Refusal, Sender
from channels.email.mime import build_email
from engine.core.errors import Unreadable, UsageError
from engine.core.model.instants import HOUR, MINUTE, SECOND, Instant


class Rates(Struct, frozen=True, forbid_unknown_fields=True):
    """Shares in [0, 1]. Opens and complaints are of delivered, clicks and unsubscribes of opened.

    On SMS, push and web, where nothing says "opened", both are of delivered.
    """

    hard_bounce: float = 0.005
    soft_bounce: float = 0.01
    opened: float = 0.35
    machine_opened: float = 0.25
    clicked: float = 0.15
    complained: float = 0.0005
    unsubscribed: float = 0.003

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share: 0 to 1")


class SandboxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        write: What is left behind: `eml` a file per e-mail, `log` one JSON line per message, `none`
            nothing. Only e-mail knows `eml`, and it is its default; elsewhere it is `log`.
        seed: With the message's id it decides everything that its people do.
        rates: Shares in [0, 1] of those who do so.
        from_, reply_to: Used where the template names none; e-mail only.
    """

    write: Literal["eml", "log", "none"] | None = None
    seed: str | int = 0
    rates: Rates = Rates()
    from_: str = msgspec.field(default="Antiphon sandbox <sandbox@example.com>", name="from")
    reply_to: str = ""


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> "Sandbox":
    """A sandbox for any channel. `rng` is not used: what happens hangs on the message id."""
    try:
        parsed = msgspec.convert(dict(settings), SandboxSettings)
    except msgspec.ValidationError as error:
        raise UsageError(f"channels.{channel}: {error}") from None
    if parsed.write == "eml" and channel != "email":
        raise UsageError(f'channels.{channel}.write: "eml" is for email; allowed: log, none')
    return Sandbox(channel, parsed, directory / "outbox", now)


class Sandbox:
    """Accepts every message whose address is one."""

    def __init__(
        self, channel: Channel, settings: SandboxSettings, outbox: Path, now: Clock
    ) -> None:
        self.name = f"{channel}.sandbox"
        self.channel: Channel = channel
        self.capabilities = capabilities_of(channel)
        self.settings = settings
        self.outbox = outbox
        self.now = now
        self.write = settings.write or ("eml" if channel == "email" else "log")
        self._sender = Sender(
            domain="sandbox.example.com", from_=settings.from_, reply_to=settings.reply_to
        )
        self._log: IO[bytes] | None = None
        self._log_day = ""

    async def deliver(self, message: OutMessage) -> Receipt:
        at = self.now()
        try:
            # Built even when it is not kept, so that the sandbox refuses what SMTP would refuse.
            raw = build_email(message, sender=self._sender, at=at) if self._is_email else b""
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        if self.write == "eml":
            self._write_eml(message, raw, _day(at))
        elif self.write == "log":
            self._write_line(message, at)
        return Accepted(f"sandbox-{message.id}")

    async def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    async def read_callback(self, callback: Callback) -> Echo:
        raise Unreadable(f"{self.name} has no webhook; its events come from echo()")

    def echo(self, message: OutMessage, *, at: Instant) -> list[DeliveryEvent]:
        """What happens to a message accepted at `at`, in order of time."""
        return echo(message, at=at, seed=str(self.settings.seed), rates=self.settings.rates)

    @property
    def _is_email(self) -> bool:
        return self.channel == "email"

    def _write_eml(self, message: OutMessage, raw: bytes, day: str) -> None:
        # A folder per day, and per thousand messages: viewers choke on 100,000 files in one.
        folder = self.outbox / day / f"email-{message.id // 1000:06}"
        path = folder / f"{message.id}.eml"
        try:
            path.write_bytes(raw)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)

    def _write_line(self, message: OutMessage, at: Instant) -> None:
        day = _day(at)
        if self._log is None or day != self._log_day:
            if self._log is not None:
                self._log.close()
            folder = self.outbox / day
            folder.mkdir(parents=True, exist_ok=True)
            self._log = (folder / f"{self.channel}.jsonl").open("ab")
            self._log_day = day
        line = {
            "at": datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "id": message.id,
            "to": message.to,
            "campaign": message.campaign,
            "topic": message.topic,
            **({"subject": message.subject} if message.subject else {}),
            **({"text": message.text} if message.text else {}),
            **({"html": message.html} if message.html and not self._is_email else {}),
            **({"data": message.data} if message.data else {}),
        }
        # One write, no fsync: a sandbox log may lose its last lines to a power cut.
        self._log.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._log.flush()


def _day(at: Instant) -> str:
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%d")


# --- echoes -------------------------------------------------------------------------------------

_REPORTS: Final[dict[Channel, frozenset[EventKind]]] = {
    "email": frozenset({"delivered", "bounced", "opened", "clicked", "complained", "unsubscribed"}),
    "sms": frozenset({"delivered", "undelivered", "clicked", "unsubscribed"}),
    "push": frozenset({"delivered", "failed", "clicked", "dismissed"}),
    "web": frozenset({"displayed", "clicked", "dismissed"}),
}


def capabilities_of(channel: Channel) -> Capabilities:
    """What the sandbox of a channel can do: it reports what its invented people do."""
    return Capabilities(reports=_REPORTS[channel], is_sandbox=True)


def echo(message: OutMessage, *, at: Instant, seed: str, rates: Rates) -> list[DeliveryEvent]:
    """The delivery events of one message: a pure function of seed, message id and `at`."""
    draw = _Draws(seed, message.id)
    events: list[DeliveryEvent] = []

    def add(
        kind: EventKind,
        when: Instant,
        *,
        reason: str = "",
        bounce_class: BounceClass | None = None,
        is_machine: bool = False,
    ) -> Instant:
        name = f"sandbox-{message.id}-{kind}{'-machine' if is_machine else ''}"
        events.append(
            DeliveryEvent(
                kind, message.id, name, when, message.to, reason, bounce_class, is_machine
            )
        )
        return when

    if message.channel == "web":
        shown_at = add("displayed", at)
        _react(message, draw, rates.clicked, shown_at, add)
        return events
    bounce = draw("bounce")
    arrival = at + draw.span("arrival", 1 * SECOND, 30 * SECOND)
    if bounce < rates.hard_bounce + rates.soft_bounce:
        is_hard = bounce < rates.hard_bounce
        reason = "5.1.1 no such user" if is_hard else "4.2.2 mailbox full"
        add(
            _FAILURES[message.channel],
            arrival,
            reason=reason,
            bounce_class="hard" if is_hard else "soft",
        )
        return events
    add("delivered", arrival)
    if message.channel != "email":
        _react(message, draw, rates.clicked, arrival, add)
        if message.channel == "sms" and draw("unsubscribed") < rates.unsubscribed:
            add("unsubscribed", arrival + draw.span("unsubscribed at", MINUTE, HOUR))
        return sorted(events, key=_when)
    if draw("machine") < rates.machine_opened:
        add("opened", arrival + draw.span("machine at", SECOND, MINUTE), is_machine=True)
    if draw("opened") < rates.opened:
        # Most who open do so within hours, a few after days.
        opened_at = add("opened", arrival + draw.span("opened at", MINUTE, 48 * HOUR, power=3))
        if draw("clicked") < rates.clicked:
            add("clicked", opened_at + draw.span("clicked at", 15 * SECOND, 10 * MINUTE))
        if draw("unsubscribed") < rates.unsubscribed:
            add("unsubscribed", opened_at + draw.span("unsubscribed at", MINUTE, HOUR))
    if draw("complained") < rates.complained:
        add("complained", arrival + draw.span("complained at", MINUTE, 24 * HOUR))
    return sorted(events, key=_when)


_FAILURES: Final[dict[str, EventKind]] = {
    "email": "bounced",
    "sms": "undelivered",
    "push": "failed",
}


def _when(event: DeliveryEvent) -> tuple[Instant, str]:
    return event.at, event.event_id


def _react(message: OutMessage, draw: "_Draws", clicked: float, since: Instant, add: Any) -> None:
    if draw("clicked") < clicked:
        add("clicked", since + draw.span("clicked at", 5 * SECOND, 2 * HOUR, power=3))
    elif message.channel != "sms" and draw("dismissed") < 0.5:
        add("dismissed", since + draw.span("dismissed at", 2 * SECOND, HOUR, power=3))


class _Draws:
    """Uniform numbers by name: adding one does not shift the others, as a generator's would."""

    def __init__(self, seed: str, message: int) -> None:
        self._stem = hashlib.sha256(f"{seed}\0{message}\0".encode())

    def __call__(self, name: str) -> float:
        digest = self._stem.copy()
        digest.update(name.encode())
        return int.from_bytes(digest.digest()[:7], "big") / 2**56

    def span(self, name: str, low: Instant, high: Instant, *, power: int = 1) -> Instant:
        """Microseconds in [low, high); `power` above 1 leans towards low."""
        return low + int((high - low) * self(name) ** power)
