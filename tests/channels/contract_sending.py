"""What every provider promises of a message: each claim is a function that tries it, or raises.

The claims of callbacks are in `contract_callbacks`; `test_provider_contract` runs both.
"""

import asyncio
import gzip
import random
import re
import socket
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.base import Accepted, Ambiguous, NotSent, OutMessage, Receipt, RefusedBy, Throttled
from channels.calls import Answer, Call
from tests.channels.contract_bench import (
    Bench,
    answering,
    bench,
    opened,
)
from tests.channels.garbage import spoilt
from tests.channels.vendor_cases import VendorCases
from tests.channels.vendor_server import (
    TOO_MUCH,
    Arrived,
    Behaviour,
    breaking_off,
    flooding,
    hanging_up,
    saying,
    silent,
)

NEVER_BUSY: Final[dict[str, str]] = {}
"""Providers whose documentation knows no answer that says "not now"."""
SLACK_BYTES: Final = 6 * 1024 * 1024
"""What sockets, and both ends in one process, may hold of an answer that nobody wants."""


async def delivered(
    cases: VendorCases, behaviour: Behaviour, message: OutMessage | None = None
) -> tuple[Receipt, Bench]:
    """The receipt for one message to a vendor that behaves so, and what was called."""
    async with bench(cases, behaviour) as tried:
        return await tried.provider.deliver(message or cases.message), tried


def fits(receipt: Receipt, expected: Receipt | type) -> bool:
    """Whether a receipt is the expected one, or of the expected kind."""
    return isinstance(receipt, expected) if isinstance(expected, type) else receipt == expected


# --- one call, and every answer -----------------------------------------------------------------


async def a_message_is_taken_by_a_request_its_documentation_allows(cases: VendorCases) -> None:
    receipt, tried = await delivered(cases, saying(cases.accepted.answer))

    assert isinstance(receipt, Accepted), receipt
    assert fits(receipt, cases.accepted.expected), receipt
    assert receipt.provider_id, "the vendor's name of the message is not kept"
    cases.check_call(tried.call)
    (arrived,) = tried.server.arrived
    _check_wire(tried.call, arrived)


def _check_wire(call: Call, arrived: Arrived) -> None:
    scheme_and_host = re.match(r"https?://[^/?]*", call.url)
    assert scheme_and_host is not None, call.url
    target = call.url[scheme_and_host.end() :] or "/"
    assert (arrived.method, arrived.target) == (call.method, target)
    assert arrived.body == call.body
    for name, value in call.headers.items():
        assert arrived.headers[name.lower()].encode("latin-1") == value.strip().encode("utf-8")


async def every_documented_answer_means_what_it_should(cases: VendorCases) -> None:
    for each in cases.answered:
        receipt, _ = await delivered(cases, saying(each.answer))
        assert fits(receipt, each.expected), f"{each.title}: {receipt}"
        if isinstance(receipt, RefusedBy) and receipt.scope in ("config", "account"):
            assert receipt.bounce is None, f"{each.title}: our fault would burn a person"


async def the_cases_show_every_class_of_answer(cases: VendorCases) -> None:
    shown = [(await delivered(cases, saying(each.answer)))[0] for each in cases.answered]

    scopes = {it.scope for it in shown if isinstance(it, RefusedBy)}
    assert scopes & {"recipient", "message"}, "no case refuses a message or its recipient"
    assert scopes & {"config", "account"}, "no case refuses our key, setting or account"
    assert any(isinstance(it, Ambiguous) for it in shown), "no case leaves us in doubt"
    if cases.provider not in NEVER_BUSY:
        assert any(isinstance(it, Throttled) for it in shown), "no case says: not now"


# --- failures of the wire -----------------------------------------------------------------------


async def where_nobody_listens_nothing_was_sent(cases: VendorCases) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for host in ("127.0.0.1", "no-such-host.invalid"):
            async with bench(cases, silent) as tried:
                tried.server.host, tried.server.port = host, free.getsockname()[1]
                receipt = await tried.provider.deliver(cases.message)
            assert isinstance(receipt, NotSent), f"{host}: {receipt}"


async def silence_after_the_request_leaves_us_in_doubt(cases: VendorCases) -> None:
    receipt, tried = await delivered(cases, silent)

    assert isinstance(receipt, Ambiguous), receipt
    assert len(tried.server.arrived) == 1, "a call was repeated: that is the outbox's to decide"


async def a_connection_lost_after_the_request_leaves_us_in_doubt(cases: VendorCases) -> None:
    for behaviour in (hanging_up, breaking_off(cases.accepted.answer)):
        receipt, tried = await delivered(cases, behaviour)
        assert isinstance(receipt, Ambiguous), receipt
        assert len(tried.server.arrived) == 1


async def while_no_token_is_had_nothing_was_sent(cases: VendorCases) -> None:
    for part in cases.questions:
        for broken in (Answer(500, body=b"oops"), Answer(200, body=b"<html>"), Answer(200)):
            spoiled = structs_replace(cases, questions={**cases.questions, part: broken})
            receipt, tried = await delivered(spoiled, saying(cases.accepted.answer))
            if tried.server.arrived:
                continue  # a question of callbacks: sending does not ask it
            assert isinstance(receipt, NotSent | Throttled | RefusedBy), f"{part}: {receipt}"
            if isinstance(receipt, RefusedBy):
                assert receipt.scope in ("config", "account"), f"{part}: {receipt}"


def structs_replace(cases: VendorCases, **changed: Any) -> VendorCases:
    """The same vendor with other cases."""
    return VendorCases(**{**vars(cases), **changed})


# --- answers that are none ----------------------------------------------------------------------

HTML: Final = b"<!doctype html><html><body>502 Bad Gateway</body></html>"


async def an_answer_nobody_can_read_is_never_taken_for_success(cases: VendorCases) -> None:
    good = cases.accepted.answer
    bodies = [
        HTML,
        b"",
        b"[]",
        b"null",
        b'"ok"',
        b"{}",
        b"\xff\xfe",
        good.body[: len(good.body) // 2],
    ]
    for body in bodies if good.body else ():
        receipt, _ = await delivered(cases, saying(Answer(good.status, {}, body)))
        assert isinstance(receipt, Ambiguous), f"{good.status} {body[:30]!r}: {receipt}"


async def a_server_in_trouble_leaves_us_in_doubt(cases: VendorCases) -> None:
    for status in (500, 502, 504):
        for body in (HTML, b"", b"null", b"[1]", b'{"error":{"code":'):
            receipt, _ = await delivered(cases, saying(Answer(status, {}, body)))
            assert isinstance(receipt, Ambiguous), f"{status} {body!r}: {receipt}"


async def a_flood_is_cut_off(cases: VendorCases) -> None:
    counted: list[int] = []
    tracemalloc.start()
    try:
        receipt, _ = await delivered(cases, flooding(cases.accepted.answer.status, counted))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(receipt, Ambiguous), receipt
    assert counted[0] < TOO_MUCH, "all ten megabytes were read"
    assert peak < SLACK_BYTES, f"{peak:,} bytes were held"


async def a_flood_that_comes_packed_is_cut_off_too(cases: VendorCases) -> None:
    packed = Answer(cases.accepted.answer.status, {"content-encoding": "gzip"}, PACKED)
    tracemalloc.start()
    try:
        receipt, _ = await delivered(cases, saying(packed))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(receipt, Ambiguous), receipt
    assert peak < SLACK_BYTES, f"{peak:,} bytes were held"


PACKED: Final = gzip.compress(b"[" * 20 * 1024 * 1024, compresslevel=1)
"""Twenty megabytes in less than a hundred kilobytes."""


async def no_answer_whatever_raises(cases: VendorCases) -> None:
    provider = opened(cases)
    answers = [cases.accepted.answer, *(each.answer for each in cases.answered)]

    def receipt_for(answer: Answer) -> Receipt:
        with answering(cases, answer):
            return asyncio.run(provider.deliver(cases.message))

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(answers), st.integers(0, 2**32), st.integers(100, 599))
    def holds(answer: Answer, seed: int, status: int) -> None:
        rng = random.Random(seed)
        kept = answer.status if rng.random() < 0.7 else status
        spoiled = Answer(kept, answer.headers, spoilt(answer.body, rng))
        receipt = receipt_for(spoiled)
        assert isinstance(receipt, Accepted | RefusedBy | Throttled | NotSent | Ambiguous)
        if isinstance(receipt, Accepted):
            assert 200 <= kept < 300, f"{kept} {spoiled.body!r}: {receipt}"

    try:
        await asyncio.to_thread(holds)
    finally:
        await provider.close()


Claim = Callable[[VendorCases], Awaitable[None]]
CLAIMS: Final[tuple[Claim, ...]] = (
    a_message_is_taken_by_a_request_its_documentation_allows,
    every_documented_answer_means_what_it_should,
    the_cases_show_every_class_of_answer,
    where_nobody_listens_nothing_was_sent,
    silence_after_the_request_leaves_us_in_doubt,
    a_connection_lost_after_the_request_leaves_us_in_doubt,
    while_no_token_is_had_nothing_was_sent,
    an_answer_nobody_can_read_is_never_taken_for_success,
    a_server_in_trouble_leaves_us_in_doubt,
    a_flood_is_cut_off,
    a_flood_that_comes_packed_is_cut_off_too,
    no_answer_whatever_raises,
)
