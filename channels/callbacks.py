"""What a provider tells us later: its request to `/webhooks/{channel}`, and what we make of it.

A callback is believed only when its signature holds, over the raw body and our own public address:
never over the Host header, which any hop may write.
"""

import contextlib
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct, field, structs

from channels.delivery import DeliveryEvent
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import SECOND, Instant

AGE_SECONDS_MAX: Final = 300
"""How far a signed time may lie from ours, either way."""
UNREADABLE: Final = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What a reader raises over a shape, or a number, that a vendor never had before."""


class Callback(Struct, frozen=True):
    """One request as it came.

    `url` is our public address with the path and the query string exactly as received; the names
    of `headers` are lower-case; `body` is raw.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str = "POST"

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the address, decoded, in order, empty ones too."""
        return parse_qsl(urlsplit(self.url).query, keep_blank_values=True)

    @property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form-encoded body.

        Raises:
            Unreadable: It is none, or has more than 1,000 fields.
        """
        try:
            text = self.body.decode("utf-8")
            return parse_qsl(text, keep_blank_values=True, max_num_fields=1_000)
        except ValueError:
            raise Unreadable("the body is no form") from None


class Reply(Struct, frozen=True):
    """What the provider is answered. Some act on the body: empty unless one asks for words."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


class Echo(Struct, frozen=True):
    """What a callback said, in our words."""

    events: Sequence[DeliveryEvent] = ()
    reply: Reply = Reply()


def opted_out(event: DeliveryEvent) -> tuple[DeliveryEvent, DeliveryEvent]:
    """A refusal because the person has said no at the vendor, and that they did."""
    gone = structs.replace(
        event, kind="unsubscribed", event_id=f"{event.event_id}-opt-out", bounce_class=None
    )
    return event, gone


def check_age(signed_at: Instant, *, now: Instant) -> None:
    """Refuse what was signed too long ago, or in the future.

    Raises:
        Forged: It lies more than AGE_SECONDS_MAX from `now`.
    """
    seconds = abs(now - signed_at) / SECOND
    if seconds > AGE_SECONDS_MAX:
        raise Forged(
            f"the callback was signed {seconds:.0f} s from now; at most {AGE_SECONDS_MAX} s are "
            "believed. Is this machine's clock right?"
        )


def check_token(callback: Callback, token: str) -> None:
    """Ask for the secret that stands in for a signature where the vendor has none.

    It may come as `Authorization: Bearer TOKEN`, as the password of Basic auth, in the header
    `X-Webhook-Token`, or as `?token=` where a vendor lets us choose nothing but the address.

    Raises:
        Forged: It does not.
    """
    offered = [value for name, value in callback.query if name == "token"]
    offered.append(callback.headers.get("x-webhook-token", ""))
    kind, _, rest = callback.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        offered.append(rest.strip())
    elif kind.lower() == "basic":
        with contextlib.suppress(ValueError):  # of either decoding
            offered.append(b64decode(rest.strip(), validate=True).decode().partition(":")[2])
    if not any(same(it, token) for it in offered):
        raise Forged("the callback does not carry the channel's webhook_token")


def same(offered: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ; never for an
    empty secret."""
    if not expected:
        return False
    return hmac.compare_digest(offered.encode("utf-8", "surrogatepass"), expected.encode())
