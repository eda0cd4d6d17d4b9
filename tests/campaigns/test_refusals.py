"""What would go wrong later is refused by `check`, with the line, what was found and the mend."""

import pytest

from campaigns.compile import compile_workspace
from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from channels.content.templates import compile_template, template_names
from tests.campaigns.build import files, problems_of

HEAD = "campaign: nudge\ntopic: offers\n"
SEND = "  - send: {channel: email, template: remind}\n    id: remind\n"

REFUSED = {
    "a segment that is defined by itself": (
        {
            "segments/a.yaml": "segment: a\nwhen: {segment: b}\n",
            "segments/b.yaml": "segment: b\nwhen: {not: {segment: a}}\n",
        },
        "segments/b.yaml:2: ",
        ("a -> b -> a", "Break the circle"),
    ),
    "a journey that cannot end": (
        {
            "campaigns/nudge.yaml": HEAD + "trigger: {event: Nudged}\n"
            "reentry: {when: after_exit}\njourney:\n"
            "  - track: {event: Nudged}\n    id: again\n"
        },
        "campaigns/nudge.yaml:",
        ("start each other at once, without end", "Put a delay"),
    ),
    "a wait without a timeout": (
        {
            "campaigns/nudge.yaml": HEAD + "trigger: {event: Product Added}\njourney:\n"
            "  - wait_for: {event: Order Completed}\n    id: buying\n"
        },
        "campaigns/nudge.yaml:5: ",
        ("timeout",),
    ),
    "a cron line that never fires": (
        {
            "campaigns/nudge.yaml": HEAD
            + 'trigger: {schedule: {cron: "0 9 30 2 *"}}\njourney:\n'
            + SEND
        },
        "campaigns/nudge.yaml:3: ",
        ("0 9 30 2 *",),
    ),
    "a zone that does not exist": (
        {
            "campaigns/nudge.yaml": HEAD
            + 'trigger: {schedule: {cron: "0 9 * * *", zone: Europe/Berln}}\njourney:\n'
            + SEND
        },
        "campaigns/nudge.yaml:3: ",
        ("Europe/Berln", "Europe/Berlin"),
    ),
    "weights of zero": (
        {
            "campaigns/nudge.yaml": HEAD + "trigger: {event: Product Added}\njourney:\n"
            "  - split: {a: {weight: 0, do: []}, b: {weight: 0, do: []}}\n    id: fork\n"
        },
        "campaigns/nudge.yaml:5: ",
        ("weight",),
    ),
    "a repeat without end": (
        {
            "campaigns/nudge.yaml": HEAD + "trigger: {event: Product Added}\njourney:\n"
            "  - repeat: {times: 0, every: 1d, do: []}\n    id: weekly\n"
        },
        "campaigns/nudge.yaml:5: ",
        ("times",),
    ),
    "a segment that nobody can be in": (
        {
            "segments/vip.yaml": "segment: vip\nwhen:\n  all:\n"
            "    - {event: Order Completed, count: {gte: 5}, within: 7d}\n"
            "    - {event: Order Completed, count: {lt: 3}, within: 7d}\n"
        },
        "segments/vip.yaml:",
        ("nothing can match",),
    ),
}

UNMET = {
    "a template that needs what the trigger never brings": (
        {
            "campaigns/nudge.yaml": HEAD + "trigger: {segment: {enter: vip}}\njourney:\n" + SEND,
            "templates/email/remind.html": "---\nsubject: Hi\n---\n<p>{{ event.cart_value }}</p>",
        },
        "campaigns/nudge.yaml:5: ",
        ("event.cart_value",),
    ),
    "a template that needs a property its event does not declare": (
        {"templates/email/remind.html": "---\nsubject: Hi\n---\n<p>{{ event.cart_valu }}</p>"},
        "campaigns/nudge.yaml:",
        ("event.cart_valu",),
    ),
}
"""Seen once templates are compiled, as `antiphon check` does."""


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_at_its_line_with_what_was_found(what: str) -> None:
    changed, place, words = REFUSED[what]

    _expect(problems_of(changed), place, words)


@pytest.mark.parametrize("what", UNMET)
def test_a_value_that_will_never_come_is_refused_at_the_send_that_needs_it(what: str) -> None:
    changed, place, words = UNMET[what]
    shop = files(changed)
    facts = {key: compile_template(*key, shop).facts() for key in template_names(shop)}

    with pytest.raises(InvalidWorkspace) as refused:
        compile_workspace(
            load_bundle(shop, environ={}), release=1, phases={}, templates=facts,
            blind=lambda *_: "blind:0",
        )  # fmt: skip

    _expect([str(problem) for problem in refused.value.problems], place, words)


def _expect(problems: list[str], place: str, words: tuple[str, ...]) -> None:
    assert problems
    told = [problem for problem in problems if problem.startswith(place)]
    assert told, problems
    for word in words:
        assert any(word in problem for problem in told), (word, told)
