"""Where a message really goes while a workspace is tried out.

Pure. An address that is allowed is reached; what is for anyone else goes to the address that stands
in for its kind of channel, or nowhere: with a reason, as everything that is not sent.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from campaigns.settings_forms import TestModeForm
from channels.base import OutMessage

MARK: Final = "[Test] "
NOWHERE: Final = "test mode: the address is not allowed, and none stands in for it"
REDIRECTED: Final = "test mode: it went to the address that stands in"


class Rerouted(Struct, frozen=True):
    """A message with its real destination; `note` says so where it is not the addressee's."""

    message: OutMessage
    note: str = ""


def reroute(message: OutMessage, *, mode: TestModeForm | None) -> Rerouted | None:
    """The message as it may leave, None if it may not."""
    if mode is None or _is_allowed(message.to, mode):
        return Rerouted(message)
    stand_in = mode.redirect.get(message.channel)  # type: ignore[call-overload]
    if stand_in is None:
        return None
    marked = MARK + message.subject if message.subject else ""
    return Rerouted(replace(message, to=str(stand_in), subject=marked), REDIRECTED)


def _is_allowed(address: str, mode: TestModeForm) -> bool:
    """Whether one of the patterns is this address, or its whole domain; letters' case aside."""
    lowered = address.lower()
    _, _, domain = lowered.rpartition("@")
    return any(
        pattern == lowered or (pattern.startswith("*@") and pattern[2:] == domain and domain)
        for pattern in (str(it).lower() for it in mode.allow)
    )
