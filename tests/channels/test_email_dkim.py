"""DKIM: what we sign, dkimpy verifies; what is changed on the way, it does not."""

import random
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from channels import open_provider
from channels.email.dkim import DkimSigner
from channels.email.headers import Sender
from channels.email.mime import build_email
from engine.core.errors import UsageError
from tests.channels.email_cases import MESSAGE
from tests.channels.vendor_cases import NOW

SENDER = Sender(domain="shop.example", feedback="shopmail", unsubscribe_mailbox="s@shop.example")


@lru_cache(maxsize=1)
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2048)


def pem(private: Any) -> bytes:
    found: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return found


def signer() -> DkimSigner:
    return DkimSigner(domain="shop.example", selector="s2026", pem=pem(key()))


def record(name: bytes, timeout: int = 5) -> bytes:
    """The TXT record that the domain would publish."""
    assert name == b"s2026._domainkey.shop.example."
    public = key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])


def mail(**changed: Any) -> bytes:
    message = structs.replace(MESSAGE, **changed)
    return signer().signed(build_email(message, sender=SENDER, at=NOW), at=NOW)


def is_verified(raw: bytes) -> bool:
    found: bool = dkim.verify(raw, dnsfunc=record)
    return found


def test_a_mail_with_every_header_of_ours_is_verified_and_names_them_all() -> None:
    raw = mail()

    assert is_verified(raw)
    head = re.sub(r"\s+", "", raw.partition(b"\r\nDate:")[0].decode())
    assert "d=shop.example;s=s2026;" in head
    assert "c=relaxed/relaxed;" in head
    for name in ("list-unsubscribe", "list-unsubscribe-post", "feedback-id", "list-id"):
        assert re.search(rf"h=[^;]*\b{name}\b", head), name
    assert "l=" not in head


@settings(max_examples=40, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=120),
)
def test_any_text_and_any_subject_is_verified(text: str, subject: str) -> None:
    assert is_verified(mail(text=text, subject=subject, html=""))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: ", b"Subject: Re: "),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"https://u.example/u/", b"https://evil.example/u/"),
        (b"Date: ", b"From: Eve <eve@evil.example>\r\nDate: "),
        (b"t=1772445600", b"t=1772445601"),
        (b"shop.example/?a", b"evil.example/?a"),
    ],
)
def test_a_change_on_the_way_is_found(old: bytes, new: bytes) -> None:
    raw = mail()
    assert old in raw

    assert not is_verified(raw.replace(old, new))


def test_what_relays_do_to_blanks_and_folds_changes_nothing() -> None:
    raw = mail()

    refolded = raw.replace(b"From: ", b"FROM:   \r\n  ", 1)

    assert refolded != raw
    assert is_verified(refolded + b"\r\n\r\n")


def test_a_key_that_cannot_sign_is_refused_and_not_shown() -> None:
    curve = pem(ec.generate_private_key(ec.SECP256R1()))
    for bad in (b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", curve):
        with pytest.raises(ValueError, match="the DKIM key is no") as refusal:
            DkimSigner(domain="shop.example", selector="s", pem=bad)
        assert "AAAA" not in str(refusal.value)


@pytest.mark.parametrize("names", [("shop.example; l=0", "s"), ("läden.example", "s"), ("a.b", "")])
def test_a_name_that_would_spoil_the_header_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="are host names"):
        DkimSigner(domain=names[0], selector=names[1], pem=pem(key()))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dkim_domain": "shop.example"}, "dkim_selector is empty"),
        ({"dkim_key_file": "nowhere.pem"}, "dkim_domain is empty"),
        (
            {"dkim_domain": "shop.example", "dkim_selector": "s", "dkim_key_file": "nowhere.pem"},
            "dkim_key_file: No such file",
        ),
    ],
)
def test_settings_that_are_half_filled_are_refused_by_name(
    given: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        open_provider(
            "email",
            "smtp",
            {"url": "smtp://127.0.0.1:1", **given},
            directory=tmp_path,
            rng=random.Random(1),
            now=lambda: NOW,
        )
