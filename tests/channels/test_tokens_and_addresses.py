"""Tokens nobody can forge, and addresses in their one normal form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.addresses import normal_email, normal_phone
from channels.tokens import Kind, Token, make_token, read_token

KEY = bytes(range(32))
RING = {1: KEY, 2: bytes(32)}
KINDS: list[Kind] = ["unsubscribe", "click", "open", "preferences"]


@pytest.mark.parametrize(
    ("kind", "message", "index", "key_id", "expected"),
    # Frozen: links already in people's mailboxes must stay valid. The first was made from the
    # format in the module's docstring with printf and `openssl dgst -sha256 -mac HMAC`.
    [
        ("unsubscribe", 123, 0, 1, "AQEBAAAAAAAAAHsAAKSdtN4MwbcRVRdn_t4dT68"),
        ("click", 2**53, 7, 2, "AQICACAAAAAAAAAAB5uTLfFGypgY8RSokqliQQo"),
        ("open", 0, 0, 1, "AQMBAAAAAAAAAAAAAFUkWD_k40A36GwnE1FZKh4"),
        ("preferences", 2**63 - 1, 65535, 1, "AQQBf____________7stiSJJali9Z8dPm9nnBDg"),
    ],
)
def test_tokens_stay_as_they_are(
    kind: Kind, message: int, index: int, key_id: int, expected: str
) -> None:
    made = make_token(kind, message, index=index, key=RING[key_id], key_id=key_id)

    assert made == expected
    assert read_token(made, kind=kind, keys=RING) == Token(kind, message, index)


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 255),
)
def test_a_token_reads_back_as_it_was_made(
    kind: Kind, message: int, index: int, key_id: int
) -> None:
    made = make_token(kind, message, index=index, key=KEY, key_id=key_id)

    assert read_token(made, kind=kind, keys={key_id: KEY}) == Token(kind, message, index)
    assert made.replace("-", "").replace("_", "").isalnum()


@given(st.integers(0, 38), st.sampled_from("ABCXYZabcxyz0189-_"))
def test_a_token_with_any_character_changed_is_refused(position: int, other: str) -> None:
    made = make_token("click", 77, index=3, key=KEY)
    forged = made[:position] + other + made[position + 1 :]

    if forged != made:
        with pytest.raises(ValueError, match="this link is not valid"):
            read_token(forged, kind="click", keys=RING)


@pytest.mark.parametrize("made_for", KINDS)
@pytest.mark.parametrize("used_for", KINDS)
def test_a_token_of_one_kind_does_nothing_of_another(made_for: Kind, used_for: Kind) -> None:
    made = make_token(made_for, 5, key=KEY)

    if made_for == used_for:
        assert read_token(made, kind=used_for, keys=RING).message == 5
    else:
        with pytest.raises(ValueError, match="this link is not valid"):
            read_token(made, kind=used_for, keys=RING)


@pytest.mark.parametrize("text", ["", "a", "ä" * 39, "=" * 39, "A" * 39, "A" * 4000])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this link is not valid"):
        read_token(text, kind="open", keys=RING)


def test_a_key_that_left_the_ring_makes_its_links_invalid() -> None:
    made = make_token("open", 5, key=KEY, key_id=9)

    with pytest.raises(ValueError, match="this link is not valid"):
        read_token(made, kind="open", keys=RING)
    with pytest.raises(ValueError, match="at least 16 bytes"):
        make_token("open", 5, key=b"short")


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.L+x@Example.COM ", "Ada.L+x@example.com"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
        ("o'neil_{}!@sub.example.co.uk", "o'neil_{}!@sub.example.co.uk"),
    ],
)
def test_an_address_has_one_normal_form(given_: str, expected: str) -> None:
    assert normal_email(given_) == expected


@pytest.mark.parametrize(
    ("given_", "fault"),
    [
        ("ada", "exactly one @"),
        ("a@b@c.de", "exactly one @"),
        ("@example.com", "before the @"),
        ("a b@example.com", "not allowed"),
        ("a\r\nBcc:x@example.com", "not allowed"),
        ("a\x00@example.com", "not allowed"),
        ("a\u2028b@example.com", "not allowed"),
        (".a@example.com", "a dot"),
        ("a..b@example.com", "a dot"),
        ("a@example", "needs a dot"),
        ("a@-x.com", "valid domain"),
        ("a@x..com", "valid domain"),
        ("a@1.2.3.4", "number"),
        ("a@exa mple.com", "valid domain"),
        ("a@bad\u2028.com", "valid domain"),
        ("a" * 65 + "@example.com", "1 to 64"),
        ("a@" + "b." * 130 + "com", "valid domain"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(given_: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refusal:
        normal_email(given_)

    assert given_.strip() not in str(refusal.value)


@pytest.mark.parametrize(
    ("given_", "region", "expected"),
    [
        ("+49 1512 3456789", None, "+4915123456789"),
        ("0151 23456789", "DE", "+4915123456789"),
        ("(201) 555-0123", "US", "+12015550123"),
    ],
)
def test_a_number_becomes_e164(given_: str, region: str | None, expected: str) -> None:
    assert normal_phone(given_, region=region) == expected


@pytest.mark.parametrize(
    ("given_", "fault"),
    [
        ("015123456789", "starts with [+]"),
        ("hello", "not a phone number|starts with"),
        ("+4912", "no country has"),
        ("+49 30 901820", "a landline"),
        ("+49 900 1234567", "premium-rate"),
        ("+1 999 999 9999", "no country has"),
    ],
)
def test_what_is_no_mobile_number_is_refused(given_: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refusal:
        normal_phone(given_)

    assert given_ not in str(refusal.value)
