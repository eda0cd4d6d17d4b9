"""Return paths: a bounce names its message, and nobody can invent one."""

from hypothesis import given
from hypothesis import strategies as st

from channels.addresses import normal_email
from channels.email.verp import message_in, return_path

DOMAIN, SECRET = "b.shop.example", "test-secret"
IDS = st.integers(1, 2**63 - 1)


@given(IDS, st.sampled_from([str, str.upper, str.lower, lambda text: f"<{text}>"]))
def test_a_return_path_is_an_address_and_names_its_message(number: int, changed: object) -> None:
    path = return_path(number, domain=DOMAIN, secret=SECRET)

    assert normal_email(path) == path
    assert len(path.partition("@")[0]) <= 64
    assert callable(changed)
    assert message_in(changed(path), domain=DOMAIN, secrets=[SECRET]) == number


@given(IDS, IDS)
def test_the_signature_of_one_message_is_not_that_of_another(one: int, other: int) -> None:
    path = return_path(one, domain=DOMAIN, secret=SECRET)
    forged = path.replace(f"+{one}=", f"+{other}=")

    assert message_in(forged, domain=DOMAIN, secrets=[SECRET]) == (one if one == other else None)


def test_what_is_none_of_ours_names_no_message() -> None:
    path = return_path(7, domain=DOMAIN, secret=SECRET)

    assert message_in(path, domain=DOMAIN, secrets=["another"]) is None
    assert message_in(path, domain=DOMAIN, secrets=[""]) is None
    assert message_in(path, domain=DOMAIN, secrets=[]) is None
    assert message_in(path, domain="b.other.example", secrets=[SECRET]) is None
    assert message_in(path.replace("shop", "evil"), domain=DOMAIN, secrets=[SECRET]) is None
    for text in ("", "<>", "bounce+7@b.shop.example", f"bounce+{'9' * 19}=aaaaaaaaaa@{DOMAIN}"):
        assert message_in(text, domain=DOMAIN, secrets=[SECRET]) is None


def test_while_secrets_change_both_are_believed() -> None:
    old = return_path(7, domain=DOMAIN, secret="old")

    assert message_in(old, domain=DOMAIN, secrets=["new", "old"]) == 7
