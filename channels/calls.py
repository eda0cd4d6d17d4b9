"""A call over HTTP as data: what a provider asks for, and the answer it reads.

Providers are translations and touch no network; `transport` makes the calls.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, field

Found = TypeVar("Found", covariant=True)


class Call(Struct, frozen=True):
    """One request. `url` is absolute. None seconds: the provider's own time-out."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout_seconds: float | None = None


class Answer(Struct, frozen=True):
    """What came back, whatever its status; the names of `headers` are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The first words of the body, for people: at most 500 characters."""
        return self.body[:2000].decode("utf-8", "replace")[:500]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one when it is none.

        A provider under load answers HTML: whoever reads fields finds them missing.
        """
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class Question(Struct, Generic[Found], frozen=True):
    """A call whose answer is needed before anything can be said: a token, a certificate.

    `then` reads the answer; None: there was none (no connection, no end, egress refused).
    """

    call: Call
    then: "Callable[[Answer | None], Found | Question[Found]]"


def json_call(url: str, body: Any, *, headers: Mapping[str, str]) -> Call:
    """A POST of JSON."""
    told = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    return Call(url, headers=told, body=msgspec.json.encode(body, enc_hook=_plain))


def _plain(value: Any) -> str:
    """A setting filled in from outside is a text of a class of its own, which hides itself."""
    if not isinstance(value, str):
        raise NotImplementedError(type(value).__name__)
    return str(value)
