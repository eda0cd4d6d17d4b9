"""What every provider shows of itself to the contract suite (`test_provider_contract.py`).

A module `vendors/CHANNEL_PROVIDER.py` holds one `CASES`; the suite runs them all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels.base import OutMessage, Receipt
from channels.callbacks import Callback
from channels.calls import Answer, Call

NOW = 1_772_445_600_000_000  # 2026-03-02T10:00:00Z


@dataclass(frozen=True)
class Answered:
    """An answer of the vendor's, as its page shows it, and what it must mean.

    `expected` is compared whole; a type instead of a receipt compares the kind alone.
    """

    title: str
    answer: Answer
    expected: Receipt | type


@dataclass(frozen=True)
class Told:
    """A genuine callback (recorded, or signed with the test key) and the events it must become.

    `expected` names for each event the fields that matter: {"kind": "bounced", "message": 7, …}.
    """

    title: str
    callback: Callback
    expected: Sequence[Mapping[str, Any]]
    now: int = NOW


@dataclass(frozen=True)
class VendorCases:
    """One vendor.

    Args:
        provider: As in PROVIDERS: "email.sendgrid".
        settings: A whole, valid map of the channel; test keys only.
        message: One message with every field the vendor carries filled; unicode in each text.
        check_call: Raises when a request is not what the vendor's published description allows
            (or, where there is none, the field table of its docs): unknown fields too.
        accepted: Its answer of success.
        answered: Every documented class: permanent, throttled (with Retry-After where it has
            one), auth, account, transient, malformed.
        told: Callbacks of every kind it reports.
        forge: Takes a genuine callback and gives it with one byte of what is signed changed.
        unknown: A genuine callback of an event type nobody has documented.
        questions: Answers to calls made before the real one (a token), by a part of their URL.
        sign: Makes a genuine callback of any body, as the vendor would at NOW, so that garbage
            gets past the signature; None where that takes a key that only the vendor has.
    """

    provider: str
    settings: Mapping[str, Any]
    message: OutMessage
    check_call: Callable[[Call], None]
    accepted: Answered
    answered: Sequence[Answered]
    told: Sequence[Told] = ()
    forge: Callable[[Callback], Callback] | None = None
    unknown: Callback | None = None
    questions: Mapping[str, Answer] = field(default_factory=dict)
    sign: Callable[[bytes], Callback] | None = None
