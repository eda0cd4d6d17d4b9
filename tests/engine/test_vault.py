"""The vault: what it seals only the right key and place opens; what it hashes stays findable."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import StoreError
from engine.vault import Vault, is_sealed, mask, sealed_for

SECRET = "a secret of sufficient length"


def a_vault(secrets: dict[int, str] | None = None, *, seed: int = 1) -> Vault:
    return Vault(secrets or {1: SECRET}, entropy=random.Random(seed).randbytes)


@given(text=st.text())
def test_what_is_sealed_opens_again(text: str) -> None:
    vault = a_vault()
    key, _ = vault.new_data_key(7)

    sealed = vault.seal(key, text, aad="email")

    assert sealed.startswith("sealed:7:")
    assert vault.open(key, sealed, aad="email") == text


@pytest.mark.parametrize("value", ["ann@example.com", 12.5, 7, True, None, ["a", {"b": 1}]])
def test_a_sealed_value_keeps_its_type(value: object) -> None:
    vault = a_vault()
    key, _ = vault.new_data_key(7)

    stored = vault.seal_value(key, value, name="secret", kind="string")

    assert is_sealed(stored)
    assert vault.open_value(key, stored["$sealed"], name="secret") == value


def test_a_stored_key_opens_after_a_restart_and_for_its_profile_only() -> None:
    first = a_vault()
    key, wrapped = first.new_data_key(7)
    sealed = first.seal(key, "ann@example.com", aad="email")

    restarted = a_vault(seed=2)

    assert restarted.open(restarted.unwrap(7, wrapped), sealed, aad="email") == "ann@example.com"
    with pytest.raises(StoreError, match="profile 8"):
        restarted.unwrap(8, wrapped)
    assert "ann" not in repr(key)
    assert str(key.secret) not in repr(key)


def test_a_sealed_text_moved_to_another_name_or_changed_does_not_open() -> None:
    vault = a_vault()
    key, _ = vault.new_data_key(7)
    sealed = vault.seal(key, "ann@example.com", aad="email")

    with pytest.raises(StoreError, match="was changed"):
        vault.open(key, sealed, aad="phone")
    tampered = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with pytest.raises(StoreError, match="was changed"):
        vault.open(key, tampered, aad="email")
    with pytest.raises(StoreError, match="profile 7"):
        vault.open(vault.new_data_key(8)[0], sealed, aad="email")


def test_a_new_secret_wraps_and_the_old_one_still_opens_and_hashes() -> None:
    old = a_vault({1: SECRET})
    _, wrapped_before = old.new_data_key(7)

    rotated = a_vault({1: SECRET, 2: "another secret, also long"})
    _, wrapped_after = rotated.new_data_key(8)

    assert rotated.unwrap(7, wrapped_before).profile_id == 7
    assert rotated.unwrap(8, wrapped_after).profile_id == 8
    assert rotated.blind("email", "a@b.de") == old.blind("email", "a@b.de")
    with pytest.raises(StoreError, match="secret version 2"):
        old.unwrap(8, wrapped_after)


def test_another_secret_is_noticed_before_it_does_harm() -> None:
    other = a_vault({1: "quite another secret"})
    _, wrapped = a_vault().new_data_key(7)

    assert other.key_check != a_vault().key_check
    with pytest.raises(StoreError, match="ANTIPHON_SECRET_KEY"):
        other.unwrap(7, wrapped)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(StoreError, match="16 characters"):
        a_vault({1: "short"})


def test_spellings_of_one_address_have_one_hash_and_channels_have_their_own() -> None:
    vault = a_vault()

    assert vault.blind("email", " Ann@Example.COM ") == vault.blind("email", "ann@example.com")
    assert vault.blind("phone", "+49 (151) 23-45") == vault.blind("phone", "+491512345")
    assert vault.blind("email", "x") != vault.blind("phone", "x")
    assert vault.address_hash("email", "A@b.de") == vault.address_hash("email", "a@B.de")
    assert vault.address_hash("email", "a@b.de") != vault.address_hash("email_backup", "a@b.de")
    assert len(vault.address_hash("sms", "+49 151 2345")) == 16


@given(address=st.emails() | st.from_regex(r"\A\+[0-9]{8,15}\Z"))
def test_a_masked_address_does_not_show_the_address(address: str) -> None:
    shown = mask(address)

    assert address not in shown
    assert "***" in shown


def test_a_sealed_text_names_its_profile_and_others_are_refused() -> None:
    assert sealed_for("sealed:12:abcd") == 12
    with pytest.raises(StoreError, match="not sealed"):
        sealed_for("plain text")
