"""Who is calling: write keys recognised from memory, with a budget each."""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from engine.core.model.instants import SECOND, Instant
from engine.store.keys import KeyKind, digest
from engine.web.problem import Refusal

RELOAD_AFTER: Final = 30 * SECOND
"""How long a key that another process revoked may live on. Our own revocations act at once."""
UNKNOWN_RELOAD_AFTER: Final = SECOND
"""Unknown keys make us ask the database no more often than this, however many of them come."""
BURST_SECONDS: Final = 10.0
_HEADERS_KEPT_MAX: Final = 10_000


class Caller(Struct, frozen=True):
    """A recognised write key."""

    kind: KeyKind
    hash: bytes


class KeyRing:
    """Recognises write keys. `load` reads the usable ones by hash; `clock` is the present."""

    def __init__(
        self, load: Callable[[], dict[bytes, KeyKind]], *, clock: Callable[[], Instant]
    ) -> None:
        self._load = load
        self._clock = clock
        self._kinds: dict[bytes, KeyKind] = {}
        self._by_header: dict[str, Caller] = {}
        self._loaded_at: Instant = -(2**62)

    def by_header(self, authorization: str | None) -> Caller | None:
        """The caller named by Basic (the key is the user name) or Bearer authorization.

        None when there is no such header, so that the body may name the key.

        Raises:
            Refusal: 401 if the header names no usable key.
        """
        if not authorization:
            return None
        if self._clock() - self._loaded_at < RELOAD_AFTER:
            known = self._by_header.get(authorization)
            if known is not None:
                return known
        caller = self.by_text(_key_of(authorization))
        if len(self._by_header) >= _HEADERS_KEPT_MAX:
            self._by_header.clear()
        self._by_header[authorization] = caller
        return caller

    def by_text(self, text: str) -> Caller:
        """The caller with this key; Refusal 401 if no usable key has this text."""
        wanted = digest(text)
        age = self._clock() - self._loaded_at
        if age >= RELOAD_AFTER or (wanted not in self._kinds and age >= UNKNOWN_RELOAD_AFTER):
            self._reload()
        kind = self._kinds.get(wanted)
        if kind is None:
            raise Refusal(
                401,
                "unauthorized",
                "The write key is unknown or revoked. Send it as the user name of Basic "
                "authorization, or as writeKey in the body. Make one with: antiphon keys create",
                field="writeKey",
            )
        return Caller(kind, wanted)

    def forget(self) -> None:
        """Read the keys again before the next answer (one was made or revoked)."""
        self._loaded_at = -(2**62)

    def _reload(self) -> None:
        self._kinds = self._load()
        self._by_header.clear()
        self._loaded_at = self._clock()


class Budget:
    """How many events each key may still send: a bucket that refills, bounded by its size."""

    def __init__(self, *, per_second: float, clock: Callable[[], Instant]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left: dict[bytes, tuple[float, Instant]] = {}

    def spend(self, caller: Caller, *, events: int) -> None:
        """Take the events from the caller's budget.

        A batch larger than what is left is let through once the bucket is full, so that no
        batch size is refused for ever.

        Raises:
            Refusal: 429 with the seconds to wait.
        """
        if not self._per_second:
            return
        now = self._clock()
        size = self._per_second * BURST_SECONDS
        left, at = self._left.get(caller.hash, (size, now))
        left = min(size, left + max(0, now - at) / SECOND * self._per_second)
        wanted = min(events, size)
        if left < wanted:
            self._left[caller.hash] = (left, now)
            wait = int((wanted - left) / self._per_second) + 1
            raise Refusal(
                429,
                "too_many_events",
                f"This key may send {self._per_second:g} events a second. "
                f"Send the same request again in {wait} s.",
                retry_after_seconds=wait,
            )
        self._left[caller.hash] = (left - events, now)


def _key_of(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        raise Refusal(
            401,
            "unauthorized",
            f"Authorization: found {scheme[:20]!r}, allowed are Basic and Bearer with a write key.",
        )
    try:
        plain = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal(
            401, "unauthorized", "Authorization: the part after Basic is not base64 of key:."
        ) from None
    return plain.partition(":")[0]
