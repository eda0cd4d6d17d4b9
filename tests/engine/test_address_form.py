"""An address is one address however it is spelled, also where an older release spelled it."""

import json
import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.addresses import canonical_email
from engine.address_form import bring_addresses_up, is_up_to_date
from engine.core.model.instants import DAY
from engine.store.database import Database
from engine.vault import Vault

SECRET = "a secret of sufficient length"
SPELLED = "Zoë@Bücher.Example"
A_LABEL = "zoë@xn--bcher-kva.example"
NOW = 1_772_442_000_000_000


@pytest.mark.parametrize(
    "spelling",
    [
        A_LABEL,
        " ZOË@BÜCHER.EXAMPLE ",
        unicodedata.normalize("NFD", SPELLED),
        "zoë@XN--BCHER-KVA.example",
        "zoë@bücher。example",  # an ideographic full stop separates labels, too
    ],
)
def test_spellings_of_one_address_have_one_hash_and_one_mark(spelling: str) -> None:
    vault = a_vault()

    assert vault.address_hash("email", spelling) == vault.address_hash("email", SPELLED)
    assert vault.mark("email", "email", spelling) == vault.mark("email", "email", SPELLED)


def test_addresses_in_ascii_are_hashed_as_ever() -> None:
    vault = a_vault()

    assert (
        vault.address_hash("email", "Ann@Example.COM").hex()
        == vault.address_hash("email", "ann@example.com", form=1).hex()
    )


def test_a_domain_that_is_none_is_still_hashed() -> None:
    assert canonical_email("Ä@-ö-.x") == "ä@-ö-.x"


@given(st.text())
def test_the_form_of_a_form_is_itself(text: str) -> None:
    once = canonical_email(text)

    assert canonical_email(once) == once


def test_what_an_older_release_suppressed_holds_for_every_spelling(database: Database) -> None:
    vault = a_vault()
    old = a_profile(database, vault, 1, SPELLED)
    plain = a_profile(database, vault, 2, "ann@example.com")
    write(database, *contact(old, suppressed="bounced", withdrawn=["offers"]))
    write(database, *contact(plain, suppressed=None, withdrawn=["*"]))
    write(
        database,
        "INSERT INTO soft_bounce (address_hash, message_id, at) VALUES (?, ?, ?)",
        (old, 7, NOW),
    )

    with database.write() as connection:
        assert bring_addresses_up(connection, vault) == 1
    with database.write() as connection:
        assert is_up_to_date(connection)
        assert bring_addresses_up(connection, vault) == 0

    new = vault.address_hash("email", A_LABEL)
    assert contacts(database) == {new: ("bounced", '["offers"]'), plain: (None, '["*"]')}
    with database.read() as connection:
        rows = connection.execute("SELECT id, traits, addresses FROM profile ORDER BY id")
        bounced = connection.execute("SELECT address_hash FROM soft_bounce")
    assert [bytes(row[0]) for row in bounced] == [new]
    assert json.loads(rows[0][1]) == {"email": vault.mark("email", "email", A_LABEL), "tier": "x"}
    assert json.loads(rows[0][2]) == {"email": new.hex()}
    assert json.loads(rows[1][2]) == {"email": plain.hex()}


@pytest.mark.parametrize("is_swapped", [False, True])
def test_of_two_rows_that_turn_out_to_be_one_address_the_stricter_holds(
    database: Database, is_swapped: bool
) -> None:
    vault = a_vault()
    one = a_profile(database, vault, 1, SPELLED)
    other = vault.address_hash("email", A_LABEL)
    ends, lasts = (other, one) if is_swapped else (one, other)
    write(database, *contact(ends, suppressed="resting", until=NOW + DAY, withdrawn=["a"]))
    write(database, *contact(lasts, suppressed="complained", withdrawn=["b"]))

    with database.write() as connection:
        bring_addresses_up(connection, vault)

    ((found, (reason, withdrawn)),) = contacts(database).items()
    assert found == other
    assert reason == "complained"
    assert sorted(json.loads(withdrawn)) == ["a", "b"]


def a_vault() -> Vault:
    return Vault({1: SECRET}, entropy=random.Random(1).randbytes)


def a_profile(database: Database, vault: Vault, profile_id: int, email: str) -> bytes:
    """A profile as 0.3 left it; give its address hash."""
    key, wrapped = vault.new_data_key(profile_id)
    sealed = vault.seal_value(key, email, name="email", kind="email")["$sealed"]
    address = vault.address_hash("email", email, form=1)
    traits = {"email": vault.mark("email", "email", email, form=1), "tier": "x"}
    write(
        database,
        "INSERT INTO profile (id, external_id, created_at, zone, zone_from, traits, sealed, "
        "addresses, consent, data_key) VALUES (?, ?, ?, 'UTC', '', ?, ?, ?, '{}', ?)",
        (
            profile_id,
            f"u{profile_id}",
            NOW,
            json.dumps(traits),
            json.dumps({"email": sealed}),
            json.dumps({"email": address.hex()}),
            wrapped,
        ),
    )
    return address


def contact(
    address: bytes, *, suppressed: str | None, withdrawn: list[str], until: int | None = None
) -> tuple[str, tuple[object, ...]]:
    by = "provider" if suppressed else None
    return (
        "INSERT INTO contact (address_hash, channel, suppressed, suppressed_at, suppressed_until, "
        "suppressed_by, withdrawn, stopped_at, updated_at) "
        "VALUES (?, 'email', ?, ?, ?, ?, ?, NULL, ?)",
        (address, suppressed, NOW if suppressed else None, until, by, json.dumps(withdrawn), NOW),
    )


def write(database: Database, statement: str, values: tuple[object, ...]) -> None:
    with database.write() as connection:
        connection.execute(statement, values)


def contacts(database: Database) -> dict[bytes, tuple[str | None, str]]:
    with database.read() as connection:
        rows = connection.execute("SELECT address_hash, suppressed, withdrawn FROM contact")
    return {bytes(row[0]): (row[1], row[2].replace(" ", "")) for row in rows}
