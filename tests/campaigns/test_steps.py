"""What a slip in a longer step or another trigger is told, and what a right one compiles to."""

from typing import Any

import pytest

from campaigns.compile import compile_workspace
from campaigns.durations import parse_day_offset
from campaigns.problems import InvalidWorkspace
from campaigns.saved_answers import saved_names
from engine.core.model.campaigns import ApiTrigger, Campaign, DateTrigger
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY, SECOND
from engine.core.model.steps import BestTime, Duration, Expression, FirstPossible, Repeat, Webhook
from engine.release.checking import compiled
from tests.campaigns.build import a_workspace, problems_of

SEND = "send: {channel: email, template: remind}"


def a_campaign(journey: str, *, trigger: str = "{event: Product Added}", rest: str = "") -> str:
    return f"campaign: nudge\ntrigger: {trigger}\ntopic: offers\n{rest}\njourney:\n{journey}\n"


def found(journey: str, **more: Any) -> list[str]:
    return problems_of({"campaigns/nudge.yaml": a_campaign(journey, **more)})


def made(journey: str, **more: Any) -> Campaign:
    workspace = a_workspace({"campaigns/nudge.yaml": a_campaign(journey, **more)})
    program = compile_workspace(
        workspace, release=1, phases={}, templates={}, blind=lambda *_: "blind:"
    )
    return program.campaigns["nudge"]


# --- what is right ------------------------------------------------------------------------------


def test_first_possible_leads_from_each_send_to_what_comes_after_it() -> None:
    campaign = made(
        f"  - first_possible:\n      - {SEND}\n      - send: {{channel: sms, template: code}}\n"
        f"  - {SEND}"
    )

    assert campaign.steps["0"] == FirstPossible("0", ("0.send.0", "0.send.1"), "1")
    assert [campaign.steps[f"0.send.{n}"].next for n in (0, 1)] == ["1", "1"]  # type: ignore[union-attr]
    assert campaign.first == "0"


def test_the_body_of_a_repeat_leads_back_to_it() -> None:
    campaign = made(
        "  - repeat: {times: 3, every: P1D, start: after, until: {event: Order Completed},\n"
        f"      do: [{{{SEND}}}, {{track: {{event: Nudged}}}}]}}\n    id: daily\n  - {SEND}"
    )

    assert campaign.steps["daily"] == Repeat(
        "daily", 3, Duration(days=1), "daily.do.0", False, EventMatch("Order Completed"), "1"
    )
    assert campaign.steps["daily.do.1"].next == "daily"  # type: ignore[union-attr]


@pytest.mark.parametrize("written", ["best_time: {within: 24h}",
                                     "delay_until: {best_time: {within: 24h}}"])  # fmt: skip
def test_a_best_time_may_be_written_in_two_ways(written: str) -> None:
    campaign = made(f"  - {written}\n    id: hour")

    assert campaign.steps["hour"] == BestTime("hour", DAY)


def test_a_webhook_is_compiled_with_its_expressions_and_the_names_of_its_secrets() -> None:
    campaign = made(
        "  - webhook:\n"
        '      url: "https://shop.example/{{ event.cart_id }}"\n'
        '      headers: {Authorization: "Bearer ${env:TOKEN:-none}",\n'
        '                X-Cart: "{{ event.cart_id }}"}\n'
        '      body: {cart: "{{ event.cart_id }}", n: 2}\n'
        "      save_as: reply\n      timeout: 5s\n      on_error: exit\n    id: ask\n"
        '  - track: {event: Told, properties: {code: "{{ reply.code }}"}}'
    )

    assert campaign.steps["ask"] == Webhook(
        "ask",
        Expression("https://shop.example/{{ event.cart_id }}", ("event.cart_id",)),
        {"cart": Expression("{{ event.cart_id }}", ("event.cart_id",)), "n": 2},
        "POST",
        {
            "Authorization": "Bearer ${env:TOKEN:-none}",
            "X-Cart": Expression("{{ event.cart_id }}", ("event.cart_id",)),
        },
        ("headers.Authorization",),
        "reply",
        5 * SECOND,
        "exit",
        False,
        "1",
    )
    assert campaign.steps["1"].properties["code"].reads == ("reply.code",)  # type: ignore


@pytest.mark.parametrize(
    ("written", "trigger"),
    [
        ('{date: {trait: birthday, at: "09:00", offset: -7d, every: year}}',
         DateTrigger(("birthday",), 540, -7, True)),
        ('{date: {trait: birthday, at: "18:30", offset: 2w, zone: Europe/Berlin}}',
         DateTrigger(("birthday",), 1110, 14, False, "Europe/Berlin")),
        ("{api: true}", ApiTrigger()),
        ("{api: true, key: properties.order_id}", ApiTrigger("properties.order_id")),
    ],
)  # fmt: skip
def test_triggers_by_date_and_by_api_compile(written: str, trigger: object) -> None:
    assert made(f"  - {SEND}", trigger=written).trigger == trigger


def test_a_step_that_is_only_renamed_keeps_its_experiments_phase() -> None:
    from campaigns.compile import phase_digests

    def digest(step_id: str) -> str:
        journey = (
            "  - experiment: cart\n    variants:\n      control: {weight: 1, do: []}\n"
            f"      some: {{weight: 1, do: [{{id: {step_id}, repeat: {{times: 2, every: 1d, do: "
            f"[{{first_possible: [{{{SEND}}}]}}, {{id: {step_id}2, webhook: "
            "{url: https://x.example, body: {a: 1}}}]}}]}\n"
            "    metrics: {primary: ordered-7d}"
        )
        text = a_campaign(journey)
        return phase_digests(a_workspace({"campaigns/nudge.yaml": text}))["cart"]

    assert digest("one") == digest("other")


@pytest.mark.parametrize(("text", "days"), [("-7d", -7), ("+1w", 7), ("366d", 366), ("0d", 0)])
def test_offsets_are_whole_days(text: str, days: int) -> None:
    assert parse_day_offset(text) == days


# --- what is wrong ------------------------------------------------------------------------------

WEBHOOK = "  - webhook: {url: https://shop.example%s}\n    id: ask"
DAILY = "  - repeat: {times: %s, every: 1d, do: [{%s}]}\n    id: daily"

STEPS: list[tuple[str, int, str]] = [
    ("  - first_possible: []", 6, "first_possible: at least 1 entry is needed here."),
    (f"  - first_possible: [{{{SEND}}}, {{send: {{channel: email, template: code}}}}]", 6,
     'the channel "email" stands twice'),
    ("  - first_possible: [{exit: true}]", 6, "first_possible chooses between sends, and holds"),
    ("  - best_time: {within: 8d}\n    id: x", 6, "a best time lies within a week"),
    ("  - best_time: {within: P1D}\n    id: x", 6, "an exact span is needed here"),
    ("  - best_time: {within: 24h}", 6, "this best_time can hold people and has no id"),
    ("  - delay_until: {best_time: {within: 24h}, at: '09:00'}\n    id: x", 6,
     "delay_until takes one time"),
    ("  - delay_until: {days: [mon]}\n    id: x", 6, "delay_until takes one time"),
    ("  - delay_until: {best_time: {within: 24h}, zone: UTC}\n    id: x", 6,
     "days and zone belong to `at`"),
    ("  - delay_until: {at: '09:00', zone: Europe/Berlni}\n    id: x", 6,
     '"Europe/Berlni" is not a time zone'),
    (DAILY % ("0", SEND), 6, "times: 0 is not a number of rounds. Write 1 to 1000."),
    (DAILY % ("1001", SEND), 6, "1001 is not a number of rounds"),
    (DAILY % ("two", SEND), 6, '"two" is not a number'),
    (DAILY % ("1000", "track: {event: A}}, {id: again, repeat: {times: 20, every: 1h, do: "
              "[{track: {event: B}}]}"), 6, "this journey can visit 43,001 steps; at most 10,000"),
    ("  - repeat: {every: 1d, do: [exit: true]}\n    id: x", 6,
     '"repeat" needs the key "times": a journey must end. Write times: 3.'),
    ("  - repeat: {times: 3, do: [exit: true]}\n    id: x", 6,
     '"repeat" needs the key "every", the span from one round to the next'),
    ("  - repeat: {times: 3, every: 1d, do: []}\n    id: x", 6, "at least 1 entry is needed"),
    ("  - repeat: {times: 3, every: 1d, start: noon, do: [exit: true]}\n    id: x", 6,
     '"noon" is not allowed here'),
    ("  - repeat: {times: 3, every: 1d, until: {event: Odrer Completed}, do: [exit: true]}\n"
     "    id: x", 6, 'Did you mean "Order Completed"?'),
    (f"  - repeat: {{times: 3, every: 1d, do: [{{{SEND}}}, exit: true]}}\n    id: x\n  - {SEND}", 8,
     "nothing gets here: the step before it exits on every path."),
    (f"  - exit: true\n  - {SEND}", 7, "nothing gets here: the step before it is an exit."),
    ("  - wait_for: {event: Order Completed, timeout: 1d}\n    id: w\n    then: [exit: true]\n"
     f"    on_timeout: [{{{SEND}}}, exit: true]\n  - {SEND}", 10,
     "nothing gets here: the step before it exits on every path."),
    ("  - branch: [{if: {segment: vip}, do: [exit: true]}]\n    else: [exit: true]\n"
     f"  - {SEND}", 8, "nothing gets here"),
    (f"  - split: {{a: {{weight: 0, do: []}}, b: {{weight: 0, do: [{{{SEND}}}]}}}}", 6,
     "every weight is 0, so nobody can take any path. Give one a weight: 1."),
    (WEBHOOK % ", timeout: 2m", 6, "timeout is that of one attempt, at most 60s"),
    (WEBHOOK % ", method: FETCH", 6, '"FETCH" is not allowed here'),
    (WEBHOOK % ", method: GET, body: {a: 1}", 6, "a GET has no body"),
    (WEBHOOK % ", save_as: event", 6, '"event" already means something in templates'),
    (WEBHOOK % ", save_as: My Reply", 6, "cannot name an answer"),
    (WEBHOOK % ", headers: {Idempotency-Key: x}", 6, 'the header "Idempotency-Key" is ours'),
    (WEBHOOK % ', headers: {A: "${file:/etc/passwd}"}', 6, "only ${env:NAME}"),
    (WEBHOOK % ', headers: {A: "${env:T:-x} {{ event.cart_id }}"}', 6,
     "holds both a secret and an expression"),
    (WEBHOOK % ', body: {token: "${env:T}"}', 6, "and in the url and headers of webhook steps"),
    (WEBHOOK % ', body: {x: "{{ profile.email }}"}', 6, 'the trait "email" is pii'),
    (WEBHOOK % ', body: {x: "{{ event.cart }}"}', 6,
     'event.cart is never there: the event "Product Added" brings no such property. '
     'Did you mean "cart_id"?'),
    ("  - webhook: {url: ftp://x}\n    id: x", 6, "is not one that can be called. Write https://"),
    ("  - webhook: {url: https://x.example}", 6, "this webhook can hold people and has no id"),
    ('  - track: {event: A, properties: {code: "{{ reply.code }}"}}', 6,
     '"reply" is not a name here'),
    ('  - webhook: {url: https://x.example, save_as: a}\n    id: x\n'
     '  - webhook: {url: https://x.example, save_as: a}\n    id: y', 8,
     'another step saves its answer as "a"'),
    ("  - recommend: {model: also-bought}", 6, 'there is no recommender "also-bought"'),
]  # fmt: skip


@pytest.mark.parametrize(("journey", "line", "says"), STEPS)
def test_a_slip_in_a_longer_step_is_named_at_its_line(journey: str, line: int, says: str) -> None:
    problems = found(journey)

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"campaigns/nudge.yaml:{line}: ")
    assert says in problems[0]


TRIGGERS: list[tuple[str, str]] = [
    ("{date: {trait: birthday}}", '"date" needs the key "at".'),
    ('{date: {trait: birthdya, at: "09:00"}}', 'Did you mean "birthday"?'),
    ('{date: {trait: ltv, at: "09:00"}}', 'the trait "ltv" is a number; a date is needed'),
    ('{date: {trait: email, at: "09:00"}}', 'the trait "email" is pii: its date cannot be read'),
    ('{date: {trait: birthday, at: "9:00"}}', "is not a time of day"),
    ('{date: {trait: birthday, at: "09:00", offset: -7h}}', "is not an offset of whole days"),
    ('{date: {trait: birthday, at: "09:00", offset: 400d}}', "more than a year away"),
    ('{date: {trait: birthday, at: "09:00", every: month}}', '"month" is not allowed here'),
    ('{date: {trait: birthday, at: "09:00", zone: Mars/Base}}', "is not a time zone"),
    ("{api: false}", "api: false triggers nothing. Write api: true"),
    ("{api: true, where: {}}", 'unknown key "where"'),
    ('{schedule: {cron: "0 9 30 2 *"}}', "never fires"),
    ('{schedule: {cron: "0 9 * * mon", zone: Europe/Berln}}', "is not a time zone"),
    ('{schedule: {cron: "61 9 * * mon"}}', "is not a minute; allowed are 0 to 59"),
]


@pytest.mark.parametrize(("trigger", "says"), TRIGGERS)
def test_a_slip_in_a_trigger_is_named_at_its_line(trigger: str, says: str) -> None:
    problems = found(f"  - {SEND}", trigger=trigger)

    assert len(problems) == 1, problems
    assert problems[0].startswith("campaigns/nudge.yaml:2: ")
    assert says in problems[0]


BRINGS: list[tuple[str, str | None]] = [
    ("{event: Product Added}", None),
    ("{event: Order Completed}", 'the event "Order Completed" brings no such property'),
    ("{segment: {enter: vip}}", "a segment trigger brings no such property"),
    ('{schedule: {cron: "0 9 * * mon"}}', "a schedule brings no properties"),
    ('{date: {trait: birthday, at: "09:00"}}', "a date brings no properties"),
    ("{api: true}", None),
]


@pytest.mark.parametrize(("trigger", "why"), BRINGS)
def test_an_expression_that_needs_what_the_trigger_never_brings_is_refused(
    trigger: str, why: str | None
) -> None:
    journey = '  - track: {event: Nudged, properties: {cart: "{{ event.cart_id }}"}}'

    problems = found(journey, trigger=trigger)

    assert len(problems) == (why is not None)
    assert why is None or why in problems[0]


@pytest.mark.parametrize(("trigger", "why"), BRINGS)
def test_a_template_that_needs_what_the_trigger_never_brings_is_refused(
    trigger: str, why: str | None
) -> None:
    workspace = a_workspace(
        {
            "campaigns/nudge.yaml": a_campaign(f"  - {SEND}", trigger=trigger),
            "templates/email/remind.html": "---\nsubject: Hi\n---\n<p>{{ event.cart_id }}</p>",
        }
    )

    if why is None:
        compiled(workspace)
        return
    with pytest.raises(InvalidWorkspace) as refused:
        compiled(workspace)
    (problem,) = refused.value.problems
    assert (problem.file, problem.line) == ("campaigns/nudge.yaml", 6)
    assert problem.message.startswith('the template "remind" needs event.cart_id, but ')
    assert why in problem.message


def test_a_value_with_a_default_may_be_one_that_is_never_brought() -> None:
    workspace = a_workspace(
        {
            "campaigns/nudge.yaml": a_campaign(f"  - {SEND}", trigger="{segment: {enter: vip}}"),
            "templates/email/remind.html": "---\nsubject: Hi\n---\n"
            "<p>{{ event.cart_id | default('your cart') }}</p>",
        }
    )

    assert compiled(workspace).program.campaigns


def test_a_template_may_need_picks_only_where_its_campaign_recommends() -> None:
    files = {
        "models/liked.yaml": "recommender: liked",
        "templates/email/remind.html": "---\nsubject: Hi\n---\n<p>{{ picks[0].id }}</p>",
    }
    asks = f"  - recommend: {{model: liked}}\n    id: ask\n  - {SEND}"

    assert compiled(a_workspace({**files, "campaigns/nudge.yaml": a_campaign(asks)}))
    for steps in (f"  - {SEND}", asks.replace("liked}", "liked, as: others}")):
        with pytest.raises(InvalidWorkspace, match="no step of this campaign recommends anything"):
            compiled(a_workspace({**files, "campaigns/nudge.yaml": a_campaign(steps)}))


def test_a_template_may_read_an_answer_only_where_a_webhook_of_its_campaign_saves_it() -> None:
    template = {"templates/email/remind.html": "---\nsubject: Hi\n---\n<p>{{ reply.code }}</p>"}
    asks = (
        "  - webhook: {url: https://x.example, save_as: reply}\n    id: ask\n"
        f"  - {SEND}"
    )  # fmt: skip
    right = {"campaigns/nudge.yaml": a_campaign(asks), **template}
    other = a_campaign(f"  - {SEND}").replace("nudge", "other")

    assert saved_names(a_workspace(right)) == {"reply"}
    facts = compiled(a_workspace(right)).program.templates["email", "remind"]
    assert facts.requires == ("reply.code",)
    with pytest.raises(InvalidWorkspace, match="no step of this campaign saves it"):
        compiled(a_workspace({**right, "campaigns/other.yaml": other}))
    with pytest.raises(InvalidWorkspace, match='"reply" is not a name of templates'):
        compiled(a_workspace(template))


def test_a_webhooks_secret_that_is_not_set_is_named() -> None:
    text = a_campaign(WEBHOOK % ', headers: {A: "${env:SHOP_TOKEN}"}')

    assert problems_of({"campaigns/nudge.yaml": text}, environ={"SHOP_TOKEN": "x"}) == []
    assert problems_of({"campaigns/nudge.yaml": text}, environ={}) == [
        "campaigns/nudge.yaml:6: this webhook needs the variable SHOP_TOKEN, which is not set."
    ]


def test_campaigns_that_start_each_other_at_once_without_end_are_refused() -> None:
    def one(name: str, hears: str, says: str, more: str = "", first: str = "") -> str:
        return (
            f"campaign: {name}\ntrigger: {{event: {hears}}}\nreentry: {{when: after_exit{more}}}\n"
            f"journey:\n{first}  - track: {{event: {says}}}\n"
        )

    circle = {"campaigns/nudge.yaml": one("nudge", "Ping", "Pong"),
              "campaigns/echo.yaml": one("echo", "Pong", "Ping")}  # fmt: skip
    held = {**circle, "campaigns/echo.yaml": one("echo", "Pong", "Ping", first="  - delay: 1h\n"
                                                                       "    id: x\n")}  # fmt: skip
    once = {**circle, "campaigns/echo.yaml": one("echo", "Pong", "Ping").replace(
        "{when: after_exit}", "{when: never}")}  # fmt: skip

    (problem,) = problems_of(circle)
    assert problem.startswith("campaigns/echo.yaml:2: these campaigns start each other at once")
    assert "echo -> nudge -> echo" in problem
    assert problems_of(held) == problems_of(once) == []


def test_a_campaign_that_starts_itself_is_refused_too() -> None:
    text = a_campaign("  - track: {event: Product Added}", rest="reentry: {when: after_exit}")

    (problem,) = problems_of({"campaigns/nudge.yaml": text})

    assert "nudge -> nudge" in problem


def test_a_channel_cannot_be_called_what_the_lane_of_webhooks_is_called() -> None:
    from tests.campaigns.build import SETTINGS

    text = SETTINGS.replace("sms: {}", "sms: {}, webhook: {kind: email}")

    (problem,) = problems_of({"antiphon.yaml": text})

    assert problem.startswith("antiphon.yaml:10: ")
    assert "the lane of webhook steps" in problem


@pytest.mark.parametrize(
    ("arm", "waits"),
    [
        (f"{{repeat: {{times: 2, every: 1d, do: [{{{SEND}}}]}}, id: x}}", False),
        (f"{{repeat: {{times: 2, every: 1d, start: after, do: [{{{SEND}}}]}}, id: x}}", True),
        (f"{{first_possible: [{{{SEND}}}]}}", False),
        (f"{{best_time: {{within: 1h}}, id: x}}, {{{SEND}}}", True),
        (f"{{webhook: {{url: https://x.example}}, id: x}}, {{{SEND}}}", True),
    ],
)
def test_an_arm_that_waits_before_its_first_message_is_noted(arm: str, waits: bool) -> None:
    journey = (
        "  - experiment: cart\n    variants:\n      control: {weight: 1, do: []}\n"
        f"      some: {{weight: 1, do: [{arm}]}}\n    metrics: {{primary: ordered-7d}}"
    )

    workspace = a_workspace({"campaigns/nudge.yaml": a_campaign(journey)})

    notices = [notice.message for notice in workspace.notices]
    assert any("only intention-to-treat" in message for message in notices) is waits


@pytest.mark.parametrize(
    ("weekdays", "read"),
    [("1", "mon"), ("0,6", "sat,sun"), ("7", "sun"), ("1-5", "mon,tue,wed,thu,fri")],
)
def test_weekdays_in_numbers_are_played_as_before_and_noted_with_their_names(
    weekdays: str, read: str
) -> None:
    text = a_campaign(f"  - {SEND}", trigger=f'{{schedule: {{cron: "0 9 * * {weekdays}"}}}}')

    workspace = a_workspace({"campaigns/nudge.yaml": text})

    assert [str(it) for it in workspace.notices if "weekdays" in str(it)] == [
        f'campaigns/nudge.yaml:2: the weekdays "{weekdays}" are numbers, which engines read '
        f"differently; here 0 and 7 are Sunday, so this is {read}. Write {read}."
    ]


@pytest.mark.parametrize("weekdays", ["mon", "mon-fri", "*", "SUN,wed"])
def test_weekdays_by_name_are_not_noted(weekdays: str) -> None:
    text = a_campaign(f"  - {SEND}", trigger=f'{{schedule: {{cron: "0 9 1 * {weekdays}"}}}}')

    workspace = a_workspace({"campaigns/nudge.yaml": text})

    assert [it for it in workspace.notices if "weekdays" in str(it)] == []
