"""Who a text is from, where a number lives, and whether a text can reach it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.addresses import deaf_kind, e164, is_e164, phone_country
from channels.base import OutMessage
from channels.sms.outgoing import seconds_left, with_query
from channels.sms.reports import instant_of, mask_numbers, message_id, unix_instant, with_plus
from channels.sms.senders import pick_sender, read_senders, sender_kind
from engine.core.errors import UsageError
from engine.core.model.instants import NEVER, SECOND

SENDERS = ("+15005550006", "+15005550007", "20123", "Shop")


@pytest.mark.parametrize(
    ("sender", "kind"),
    [("+15005550006", "number"), ("20123", "short code"), ("Shop", "name"), ("7 Eleven", "name"),
     ("A&B Co.", "name")],
)  # fmt: skip
def test_a_sender_is_a_number_a_short_code_or_a_name(sender: str, kind: str) -> None:
    assert sender_kind(sender) == kind


@pytest.mark.parametrize(
    "sender",
    ["", "+1", "4915112345678", "Läden", "Twelve chars", "Shop\r\nX: 1", "12", "+1500555000600000"],
)
def test_what_no_carrier_takes_is_no_sender(sender: str) -> None:
    with pytest.raises(ValueError, match="a sender is a number"):
        sender_kind(sender)


def test_one_sender_or_a_list_may_be_set() -> None:
    assert read_senders("Shop", channel="sms") == ("Shop",)
    assert read_senders(["Shop", "", "20123"], channel="sms") == ("Shop", "20123")
    assert read_senders("", channel="sms") == ()
    with pytest.raises(UsageError, match=r'channels.sms.from: "Läden"'):
        read_senders(["Shop", "Läden"], channel="sms")


@given(st.integers(10**9, 10**10 - 1), st.permutations(SENDERS))
def test_the_sender_of_a_person_hangs_on_neither_order_nor_chance(
    number: int, senders: list[str]
) -> None:
    to = f"+49{number}"

    assert pick_sender(senders, to=to) == pick_sender(SENDERS, to=to)


def test_senders_share_the_people_evenly() -> None:
    heard = [pick_sender(SENDERS, to=f"+4915{n:08}") for n in range(4_000)]

    # Binomial(4000, 1/4): sd 27; six of them.
    assert all(abs(heard.count(sender) - 1_000) < 164 for sender in SENDERS)


@given(st.integers(10**9, 10**10 - 1))
def test_a_sender_that_leaves_moves_nobody_but_its_own(number: int) -> None:
    to = f"+49{number}"
    before, after = pick_sender(SENDERS, to=to), pick_sender(SENDERS[1:], to=to)

    assert before in (after, SENDERS[0])


@pytest.mark.parametrize(
    ("number", "kind", "country"),
    [
        ("+493012345678", "a landline", "DE"),
        ("+499001123456", "a premium-rate number", "DE"),
        ("+448001111111", "a toll-free number", "GB"),
        ("+4915112345678", None, "DE"),
        ("+12125550123", None, "US"),  # landlines and mobiles share area codes
        ("+14165550123", None, "CA"),
        ("+18005550123", None, "US"),  # toll-free, which businesses have enabled for texts
        ("+18765550123", None, "JM"),
        ("+15005550006", None, "US"),  # nobody's: the strictest of +1
        ("+999123456789", None, ""),
        ("+1", None, ""),
    ],
)
def test_a_number_tells_where_it_lives_and_whether_it_is_surely_deaf(
    number: str, kind: str | None, country: str
) -> None:
    assert (deaf_kind(number), phone_country(number)) == (kind, country)


@pytest.mark.parametrize("text", ["", "123", "+0123456789", "+1234567890123456", "+49 151", "+49a"])
def test_what_is_not_e164_is_seen_at_once(text: str) -> None:
    assert not is_e164(text)
    assert not is_e164(text + "\n")


@pytest.mark.parametrize(
    ("written", "region", "found"),
    [
        ("+4915112345678", None, "+4915112345678"),
        (" +49 (151) 1234-5678 ", None, "+4915112345678"),
        ("0049 151.1234/5678", None, "+4915112345678"),
        ("0151 12345678", "DE", "+4915112345678"),
        ("0151 12345678", "de", "+4915112345678"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("+15550001234", "DE", "+15550001234"),  # nobody's; the vendor will say
        ("0151 12345678", None, "0151 12345678"),
        ("0151 12345678", "XX", "0151 12345678"),
        ("123", "DE", "123"),
        ("not a number", "DE", "not a number"),
        ("", "DE", ""),
    ],
)
def test_a_number_is_read_however_it_was_written(
    written: str, region: str | None, found: str
) -> None:
    assert e164(written, region=region) == found


def test_how_long_a_vendor_may_try_stays_within_what_it_takes() -> None:
    def left(expires_at: int) -> int | None:
        message = OutMessage(1, "sms", "+4915112345678", text="x", expires_at=expires_at)
        return seconds_left(message, now=1_000 * SECOND, least=60, most=3_600)

    assert left(NEVER) is None
    assert left(1_500 * SECOND) == 500
    assert left(1_010 * SECOND) == 60
    assert left(999_999 * SECOND) == 3_600
    assert left(1) == 60


def test_an_address_keeps_its_own_query() -> None:
    assert with_query("https://a.example/w", message="7") == "https://a.example/w?message=7"
    assert with_query("https://a.example/w?a=1", b="x y") == "https://a.example/w?a=1&b=x+y"


def test_what_vendors_write_is_read_as_ours() -> None:
    assert message_id("7") == 7
    strange: list[object] = [None, "", "x", "-1", "7.0", "9" * 19, 7, []]
    assert [message_id(it) for it in strange] == [None] * 8
    assert with_plus("4915112345678") == "+4915112345678"
    strange = ["", None, [], "Shop", "20123"]
    assert [with_plus(it) for it in strange] == [None, None, None, "Shop", "20123"]
    assert instant_of("2026-03-02 10:00:00", otherwise=1) == 1_772_445_600 * SECOND
    assert instant_of("2026-03-02T10:00:00.5Z", otherwise=1) == 1_772_445_600_500_000
    strange = [None, "", "soon", {}]
    assert [instant_of(it, otherwise=1) for it in strange] == [1] * 4
    assert unix_instant("1772445600", otherwise=1) == 1_772_445_600 * SECOND
    strange = [None, "", "nan", "inf", "1e999"]
    assert [unix_instant(it, otherwise=1) for it in strange] == [1] * 5


@pytest.mark.parametrize(
    "text",
    ["to +4915112345678 no", "to 4915112345678, no", "to +49 151 1234-5678", "(+49) 151 12345678"],
)
def test_a_vendors_words_are_kept_without_the_number(text: str) -> None:
    shown = mask_numbers(text)

    assert "12345678" not in shown.replace("-", "").replace(" ", "")
    assert mask_numbers("21211: 400 of 1,600 on 2026") == "21211: 400 of 1,600 on 2026"
