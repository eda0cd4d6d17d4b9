"""How fast one recipient domain is written to, and when it is left alone."""

import random

import pytest

from channels.base import Accepted, RefusedBy, Throttled
from channels.domains import BUSY_IN_A_ROW, DOMAINS_MAX, FIRST_REST, PUT_OFF_MAX, Domains
from channels.email.bounces import receipt_of_reply
from channels.mailboxes import domain_of, label_of
from engine.core.model.instants import HOUR, MINUTE, SECOND

NOW = 1_772_442_000_000_000
BUSY = Throttled(None, "421 4.7.0 try again later", "domain")


def some_domains(**limits: tuple[int, int]) -> Domains:
    domains = Domains(rng=random.Random(1))
    domains.follow({name.replace("_", "."): limit for name, limit in limits.items()})
    return domains


def called(domains: Domains, domain: str, answer: object, *, at: int) -> None:
    """One call from its grant to its answer."""
    assert domains.grant(domain, now=at) == at
    domains.take(domain, now=at)
    domains.record(domain, answer, now=at)  # type: ignore[arg-type]


def test_a_domain_gets_its_rate_and_the_others_are_not_held_up() -> None:
    domains = some_domains(gmail_com=(3, SECOND))

    granted = [domains.grant("gmail.com", now=NOW) == NOW for _ in range(5)]

    assert granted == [True, True, True, False, False]
    assert domains.grant("web.de", now=NOW) == NOW


def test_every_other_domain_has_the_rate_of_the_star_for_itself() -> None:
    domains = Domains(rng=random.Random(1))
    domains.follow({"gmail.com": (3, SECOND), "*": (1, SECOND)})

    granted = {
        name: sum(domains.grant(name, now=NOW) == NOW for _ in range(5))
        for name in ("gmail.com", "web.de", "gmx.de")
    }

    assert granted == {"gmail.com": 3, "web.de": 1, "gmx.de": 1}


def test_in_no_span_are_there_more_calls_than_the_rate_and_nearly_as_many() -> None:
    """A thousand wait; each is asked again when its turn comes."""
    domains = some_domains(gmail_com=(20, SECOND))
    waiting, starts = [NOW] * 1_000, []
    while waiting:
        now = min(waiting)
        waiting.remove(now)
        at = domains.grant("gmail.com", now=now)
        if at > now:
            waiting.append(at)
        else:
            starts.append(domains.take("gmail.com", now=now))

    assert all(later - first >= SECOND for first, later in zip(starts, starts[20:], strict=False))
    assert starts[-1] - starts[0] < 1.2 * 1_000 / 20 * SECOND


def test_who_is_put_off_gets_a_turn_of_their_own_no_further_ahead_than_an_hour() -> None:
    domains = some_domains(gmail_com=(1, MINUTE))
    domains.grant("gmail.com", now=NOW)

    turns = [domains.grant("gmail.com", now=NOW) for _ in range(200)]

    assert turns[:3] == [NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE]
    assert max(turns) <= NOW + PUT_OFF_MAX + MINUTE


def test_a_domain_that_is_busy_again_and_again_is_left_alone_for_longer_and_longer() -> None:
    domains, now = some_domains(), NOW
    for _ in range(BUSY_IN_A_ROW - 1):
        called(domains, "gmail.com", BUSY, at=now)
    assert domains.grant("gmail.com", now=now) == now
    domains.drop("gmail.com")

    rests = []
    for _ in range(12):
        called(domains, "gmail.com", BUSY, at=now)
        rests.append(domains.rests_until("gmail.com", now=now) - now)
        now += rests[-1]

    assert FIRST_REST // 2 <= rests[0] <= FIRST_REST
    assert rests[-1] > HOUR // 2 - 1
    assert domains.grant("web.de", now=NOW) == NOW


@pytest.mark.parametrize("answer", [Accepted("p1"), RefusedBy("recipient", "550", "no", "hard")])
def test_an_answer_that_is_not_busy_ends_the_row(answer: object) -> None:
    domains = some_domains()
    for _ in range(BUSY_IN_A_ROW - 1):
        called(domains, "gmail.com", BUSY, at=NOW)

    called(domains, "gmail.com", answer, at=NOW)
    called(domains, "gmail.com", BUSY, at=NOW)

    assert domains.rests_until("gmail.com", now=NOW) == NOW


def test_a_clock_that_was_set_back_prolongs_no_rest() -> None:
    domains = some_domains()
    called(domains, "gmail.com", Throttled(60.0, "later", "domain"), at=NOW)

    assert domains.rests_until("gmail.com", now=NOW - 24 * HOUR) == NOW - 24 * HOUR + MINUTE


def test_what_was_granted_and_not_called_is_free_for_the_next() -> None:
    domains = some_domains(gmail_com=(1, MINUTE))
    domains.grant("gmail.com", now=NOW)

    domains.drop("gmail.com")

    assert domains.grant("gmail.com", now=NOW) == NOW


def test_a_new_rate_remembers_the_calls_of_the_old_one() -> None:
    domains = some_domains(gmail_com=(2, MINUTE))
    called(domains, "gmail.com", Accepted("p1"), at=NOW)

    domains.follow({"gmail.com": (1, MINUTE)}, share=1.0)

    assert domains.grant("gmail.com", now=NOW + SECOND) > NOW + SECOND
    assert domains.grant("gmail.com", now=NOW + MINUTE) == NOW + MINUTE


def test_a_million_domains_do_not_fill_the_memory() -> None:
    domains = some_domains()

    for number in range(DOMAINS_MAX + 500):
        domains.drop(f"d{number}.example")

    assert len(domains._domains) == DOMAINS_MAX


@pytest.mark.parametrize(
    ("reply", "scope"),
    [
        ((451, "4.7.1 Greylisting in action"), "domain"),
        ((450, "4.7.650 The mail server has been temporarily rate limited"), "domain"),
        ((451, "4.4.1 connection timed out to the host"), "domain"),
        ((452, "4.2.2 mailbox full"), "recipient"),
        ((450, "4.1.1 try again"), "recipient"),
        ((452, "4.3.1 insufficient system storage"), "account"),
        ((421, "4.7.0 too many connections from your IP"), "account"),
        ((450, "greylisted"), "account"),
    ],
)
def test_a_servers_not_now_says_whom_it_is_about(reply: tuple[int, str], scope: str) -> None:
    receipt = receipt_of_reply(*reply)

    assert isinstance(receipt, Throttled)
    assert receipt.scope == scope


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("ada@gmail.com", "gmail.com"), ("Ada <ada@GMX.de>", "gmx.de"),
        ("ada@lovelace.name", "other"), ("ada@shop.example", "shop.example"), ("+49151", ""),
    ],
)  # fmt: skip
def test_only_domains_that_many_share_or_the_workspace_names_are_written_down(
    address: str, label: str
) -> None:
    assert label_of(domain_of(address), named={"shop.example"}) == label
