"""The virtual clock plays the real engine: exact instants, echoes, holds counted, nothing kept."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from campaigns.load import load_bundle
from campaigns.workspace import Workspace
from engine.cli import main
from engine.core.clocktime import iso, parse_instant
from engine.core.errors import UsageError
from engine.core.model.effects import Hold
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.intake.calls import from_values
from engine.intake.prepare import Fact, Terms, prepare_items
from engine.simulation.counts import Counts
from engine.simulation.replay import Replay, applied, require_sandboxes, simulated_links, throwaway
from engine.simulation.trials import run_trials

START = parse_instant("2026-03-02T00:00:00Z")

SETTINGS = """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}, first_name: {type: string}}
channels:
  email: {provider: sandbox, rates: RATES}
quiet_hours: {from: "21:00", to: "09:00"}
caps: [{channel: email, max: 2, per: 7d}]
"""

ALL_UNSUBSCRIBE = (
    "{hard_bounce: 0, soft_bounce: 0, machine_opened: 0, opened: 1, clicked: 0, complained: 0, "
    "unsubscribed: 1}"
)
QUIET = "{hard_bounce: 0, soft_bounce: 0, machine_opened: 0, opened: 0, complained: 0}"

CART = """\
campaign: cart
trigger: {event: Product Added, key: properties.cart_id}
reentry: {when: after_exit}
exit_when: {event: Order Completed}
topic: offers
journey:
  - delay: 30m
    id: settle
  - send: {channel: email, template: reminder}
    id: remind
"""

TEMPLATE = """\
---
subject: Your cart
---
<p>Hello {{ profile.first_name | default("you") }}</p>
<p><a href="{{ unsubscribe_url }}">Stop</a></p>
"""


def a_workspace(*, rates: str = QUIET, **files: str) -> Workspace:
    named = {
        "antiphon.yaml": SETTINGS.replace("RATES", rates),
        "campaigns/cart.yaml": CART,
        "templates/email/reminder.html": TEMPLATE,
        **{path.replace("__", "/") + ".yaml": text for path, text in files.items()},
    }
    return load_bundle({path: text.encode() for path, text in named.items()}, environ=None)


def a_person(user: str, at: int = START) -> dict[str, Any]:
    return {
        "type": "identify",
        "userId": user,
        "timestamp": iso(at),
        "traits": {"email": f"{user}@example.com", "consent": {"email": {"offers": True}}},
    }


def a_cart(user: str, at: int, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "userId": user,
        "event": "Product Added",
        "timestamp": iso(at),
        "properties": {"cart_id": f"{user}-{at}", **properties},
    }


def an_order(user: str, at: int) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": "Order Completed", "timestamp": iso(at)}


def facts_of(calls: Iterable[dict[str, Any]], replay: Replay) -> list[Fact]:
    terms = Terms(declared=replay.declared, entropy=_entropy.randbytes, accepted_at="event")
    items = [from_values(call) for call in calls]
    prepared = prepare_items(items, terms=terms, received_at=START + 400 * DAY)  # type: ignore[arg-type]
    assert {answer.status for answer in prepared.answers} == {"accepted"}
    return [fact for _, fact in prepared.facts]


_entropy = random.Random(3)


class Played:
    """The messages and counts of one replay."""

    def __init__(
        self,
        calls: Iterable[dict[str, Any]],
        *,
        days: int = 10,
        window: int = 12 * HOUR,
        workspace: Workspace | None = None,
        is_silent: bool = False,
    ) -> None:
        self.counts = Counts(zone="UTC")
        with throwaway() as (database, vault, folder):
            playbook = applied(database, workspace or a_workspace(), vault=vault, at=START)
            replay = Replay(
                database, playbook, vault=vault, links=simulated_links(), directory=folder,
                observe=self.counts.observe, is_silent=is_silent,
            )  # fmt: skip
            replay.add(facts_of(calls, replay))
            replay.run(start=START, end=START + days * DAY, window=window)
            replay.close()
            with database.read() as connection:
                self.counts.finish(connection)
                self.messages = connection.execute(
                    "SELECT p.external_id, m.status, m.reason, m.at FROM message m "
                    "JOIN profile p ON p.id = m.profile_id ORDER BY m.at, m.id"
                )
                self.events = connection.execute("SELECT name, at FROM event ORDER BY seq")

    @property
    def sent(self) -> list[tuple[str, int]]:
        return [(row[0], row[3]) for row in self.messages if row[1] == "sent"]


NINE = START + 9 * HOUR


def test_a_message_goes_out_at_its_own_instant_and_not_at_the_windows_end() -> None:
    played = Played([a_person("ann"), a_cart("ann", NINE + HOUR)])

    assert played.sent == [("ann", NINE + 90 * MINUTE)]


@pytest.mark.parametrize("window", [HOUR, 7 * HOUR, 12 * HOUR, 3 * DAY])
def test_the_windows_length_changes_no_send(window: int) -> None:
    rng = random.Random(5)
    calls = [a_person(f"u{i}") for i in range(30)]
    for _ in range(120):
        user, at = f"u{rng.randrange(30)}", START + rng.randrange(9 * DAY)
        calls.append(an_order(user, at) if rng.random() < 0.3 else a_cart(user, at))
    expected = Played(calls, window=30 * MINUTE, is_silent=True)

    played = Played(calls, window=window, is_silent=True)

    assert len(expected.sent) > 20
    assert sorted(played.sent) == sorted(expected.sent)
    assert played.counts.as_json() == expected.counts.as_json()


def test_an_event_on_the_edge_of_a_window_comes_before_the_timer_of_its_instant() -> None:
    noon = START + 12 * HOUR
    calls = [a_person("ann"), a_cart("ann", noon - 30 * MINUTE), an_order("ann", noon)]

    played = Played(calls)

    assert played.sent == []


def test_what_is_held_and_then_sent_within_one_batch_is_counted_as_held() -> None:
    played = Played([a_person("ann"), a_cart("ann", START + 2 * HOUR)])

    assert played.sent == [("ann", NINE)]
    assert played.counts.as_json()["held"] == {"quiet hours": 1}
    assert played.counts.by_step["cart/remind"]["deferred"] == 1


def test_the_counts_by_day_step_and_channel_add_up_to_the_total() -> None:
    calls = [a_person("ann"), a_person("bob")]
    calls += [a_cart("ann", NINE + i * DAY) for i in range(5)]
    calls += [a_cart("nobody", NINE)]

    counted = Played(calls).counts.as_json()

    for kind in ("sends", "deferred", "dropped"):
        by_day = sum(day[kind] for day in counted["by_day"])
        by_step = sum(step[kind] for step in counted["by_step"].values())
        assert counted[kind] == by_day == by_step
    assert counted["sends"] > 0
    assert "cap: 2 emails in 7 days" in counted["held"]
    assert any("consent" in reason for reason in counted["held"])


def test_people_answer_and_who_unsubscribes_is_not_written_to_again() -> None:
    calls = [a_person("ann"), a_cart("ann", NINE), a_cart("ann", NINE + 6 * DAY)]

    played = Played(calls, workspace=a_workspace(rates=ALL_UNSUBSCRIBE))

    assert played.sent == [("ann", NINE + 30 * MINUTE)]
    names = [name for name, _ in played.events]
    assert "Message Opened" in names
    assert "Message Unsubscribed" in names
    assert [row[2] for row in played.messages if row[1] == "dropped"] == [
        "unsubscribed from offers by email"
    ]


def test_history_fills_segments_and_starts_no_journey() -> None:
    with throwaway() as (database, vault, folder):
        playbook = applied(database, a_workspace(), vault=vault, at=START)
        replay = Replay(database, playbook, vault=vault, links=simulated_links(), directory=folder)
        calls = [a_person("ann"), a_cart("ann", START + HOUR)]

        replay.load(facts_of(calls, replay), at=START + 5 * DAY)
        replay.run(start=START + 5 * DAY, end=START + 9 * DAY)
        replay.close()

        with database.read() as connection:
            assert connection.execute("SELECT count(*) FROM enrollment") == [(0,)]
            assert connection.execute("SELECT count(*) FROM event WHERE name LIKE 'P%'") == [(2,)]


def test_facts_added_after_a_window_happen_in_the_later_ones() -> None:
    with throwaway() as (database, vault, folder):
        playbook = applied(database, a_workspace(), vault=vault, at=START)
        holds: list[Any] = []
        replay = Replay(
            database, playbook, vault=vault, links=simulated_links(), directory=folder,
            observe=lambda effects: holds.extend(it for it in effects if isinstance(it, Hold)),
        )  # fmt: skip
        replay.add(facts_of([a_person("ann")], replay))

        def after_window(it: Replay, closes: int) -> None:
            if closes == START + DAY:
                it.add(facts_of([a_cart("ann", closes + 10 * HOUR)], it))

        replay.run(start=START, end=START + 3 * DAY, window=DAY, after_window=after_window)
        replay.close()

        with database.read() as connection:
            sent = connection.execute("SELECT at FROM message WHERE status = 'sent'")
    assert sent == [(START + DAY + 10 * HOUR + 30 * MINUTE,)]
    assert holds == []


def test_the_future_is_refused_where_a_channel_is_real() -> None:
    real = SETTINGS.replace("sandbox, rates: RATES", 'smtp, url: "smtp://localhost:25"')
    workspace = a_workspace()
    files = {**workspace.files, "antiphon.yaml": real.encode()}

    require_sandboxes(workspace)
    with pytest.raises(UsageError, match='channel "email" sends through smtp'):
        require_sandboxes(load_bundle(files, environ=None))


# --- tests/*.yaml --------------------------------------------------------------------------------

GOOD = """\
test: a cart gets one reminder
given:
  profile: {id: ann, traits: {email: a@example.com}, consent: {email: {offers: true}}}
  events: [{at: 2026-03-02T10:00Z, event: Product Added, properties: {cart_id: c1}}]
expect:
  - {at: 2026-03-02T10:30Z, send: {channel: email, template: reminder}}
  - nothing_until: 2026-03-09T00:00Z
"""


def the_outcome(text: str) -> Any:
    (outcome,) = run_trials(a_workspace(tests__one=text))
    return outcome


def test_a_test_that_expects_what_happens_passes() -> None:
    assert the_outcome(GOOD).passed


def test_a_test_that_expects_another_time_fails_and_tells_what_happened() -> None:
    outcome = the_outcome(GOOD.replace("10:30Z", "10:31Z"))

    assert outcome.missing == ("2026-03-02T10:31:00Z  email/reminder",)
    assert outcome.unexpected == ("2026-03-02T10:30:00Z  email/reminder (cart)",)
    assert "2026-03-02T10:00:00Z  entered    cart" in outcome.timeline


def test_a_message_that_nobody_expected_fails_a_test() -> None:
    outcome = the_outcome(
        GOOD.replace(
            "  - {at: 2026-03-02T10:30Z, send: {channel: email, template: reminder}}\n", ""
        )
    )

    assert not outcome.passed
    assert outcome.missing == ()
    assert len(outcome.unexpected) == 1


def test_a_forced_holdout_hears_nothing_and_says_so() -> None:
    held = CART.replace("topic: offers", "holdout: 1%\ntopic: offers")
    workspace = a_workspace(
        campaigns__cart=held, tests__one=GOOD.replace("expect:", "force: {holdout: in}\nexpect:")
    )

    (outcome,) = run_trials(workspace)

    assert outcome.missing == ("2026-03-02T10:30:00Z  email/reminder",)
    assert "2026-03-02T10:30:00Z  held out   email/reminder: cart" in outcome.timeline


# --- commands ------------------------------------------------------------------------------------


@pytest.fixture
def starter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "shop"
    assert main(["init", str(folder)]) == 0
    capsys.readouterr()
    return folder


def test_simulate_prints_the_published_shape(
    starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.jsonl"
    calls = [a_person("ann"), a_cart("ann", NINE), a_cart("bob", NINE)]
    events.write_text("".join(json.dumps(call) + "\n" for call in calls))

    code = main(["simulate", str(starter), "--events", str(events), "--json"])

    shown = json.loads(capsys.readouterr().out)
    assert code == 0
    assert shown["sends"] == 1
    assert sum(shown["held"].values()) == 1
    assert [day["day"] for day in shown["by_day"]] == ["2026-03-02"]
    assert set(shown["by_step"]) == {"cart-reminder/remind"}
    assert not (starter / ".antiphon").exists()


def test_simulate_of_an_unknown_campaign_names_those_there_are(
    starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(a_cart("ann", NINE)) + "\n")

    code = main(["simulate", str(starter), "cart-remindr", "--events", str(events)])

    assert code == 2
    assert "cart-reminder" in capsys.readouterr().err


def test_test_exits_with_1_when_an_expectation_is_not_met(
    starter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", str(starter), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] == 1
    path = starter / "tests" / "cart_reminder.yaml"
    path.write_text(path.read_text().replace("T09:30Z", "T09:45Z"))

    code = main(["test", str(starter), "--json"])

    shown = json.loads(capsys.readouterr().out)
    assert code == 1
    assert (shown["passed"], shown["failed"]) == (0, 1)
    assert shown["failures"][0]["missing"] == ["2026-03-02T09:45:00Z  email/cart_reminder"]


def test_tick_plays_the_future_of_a_sandbox_and_refuses_that_of_a_real_channel(
    starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.steady import present

    now = present()
    events = tmp_path / "events.jsonl"
    calls = [a_person("ann", now - MINUTE), a_cart("ann", now - MINUTE)]
    events.write_text("".join(json.dumps(call) + "\n" for call in calls))
    main(["apply", str(starter)])
    main(["ingest", str(starter), str(events)])
    capsys.readouterr()

    assert main(["tick", str(starter), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sends"] == 0
    ahead = iso(now + DAY)
    assert main(["tick", str(starter), "--until", ahead, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sends"] == 1
    settings = starter / "antiphon.yaml"
    settings.write_text(
        settings.read_text().replace("provider: sandbox", 'provider: smtp, url: "smtp://x:25"')
    )
    assert main(["apply", str(starter)]) == 0
    assert main(["tick", str(starter), "--until", iso(now + 2 * DAY)]) == 2
    assert "every channel is a sandbox" in capsys.readouterr().err
