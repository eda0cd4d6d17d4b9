"""Templates come from people we do not control: each of these must be refused, and quickly."""

import random
import re
from time import perf_counter
from typing import Any

import pytest

from channels.content.expressions import compile_expression, evaluate
from channels.content.limits import RenderError, TooCostly
from channels.content.render import Content, Setting, render
from channels.content.templates import compile_template
from engine.core.errors import AntiphonError, CampaignError
from engine.core.model.steps import Expression


def sms(body: str, **context: Any) -> str:
    template = compile_template("sms", "x", {"templates/sms/x.txt": body.encode()})
    return render(template, {"profile": {}, "event": {}, **context}, setting=Setting()).text


ROWS = {"rows": list(range(400))}
HOSTILE = {
    "a text times a number": "{{ 'a' * 20000000 }}",
    "a text of the person times a number": "{{ profile.name * 20000000 }}",
    "a format with a wide field": "{{ '%20000000d' | format(1) }}",
    "a modulo with a wide field": "{{ '%20000000d' % 1 }}",
    "a centred text": "{{ 'a' | center(20000000) }}",
    "a range": "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "squaring again and again": "{% set x = 10 %}" + "{% set x = x * x %}" * 60 + "{{ x }}",
    "a text doubled by ~": "{% set x = 'aaaa' %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}",
    "a text doubled by +": "{% set x = 'aaaa' %}" + "{% set x = x + x %}" * 60 + "{{ x }}",
    "a list of itself": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
    "loops in loops over the person's rows": "{% for a in event.rows %}{% for b in event.rows %}"
    "{% for c in event.rows %}{{ a }}{% endfor %}{% endfor %}{% endfor %}",
    "loops that print nothing": "{% for a in event.rows %}{% for b in event.rows %}"
    "{% for c in event.rows %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}{% endfor %}",
    "a long row printed for every row": "{% for a in event.rows %}{{ profile.name }}{% endfor %}",
    "brackets in brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists in lists": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "a sum of many": "{{ 1" + " + 1" * 5000 + " }}",
    "a hundred loops in loops": "{% for a in event.rows %}" * 100 + "{% endfor %}" * 100,
    "conditions in conditions": "{% if 1 %}" * 200 + "x" + "{% endif %}" * 200,
    "a number of many digits": "{{ " + "9" * 10000 + " }}",
    "a template of a megabyte": "x" * 1_000_000,
    "a join of long texts": "{{ event.names | join(profile.name) }}",
    "more digits than there are": "{{ 1 | number(100000000) }}",
    "the class of a text": "{{ ''.__class__.__mro__ }}",
    "the class by item": "{{ profile['__class__'].mro }}",
    "a method": "{{ profile.name.upper() }}",
    "the keys of a map": "{{ profile.keys() }}",
    "the loop's context": "{% for a in event.rows %}{{ loop.__init__ }}{% endfor %}",
    "the environment": "{{ self._TemplateReference__context }}",
    "cycler": "{{ cycler.__init__.__globals__ }}",
    "an include": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a recursive loop": "{% for a in event.rows recursive %}{{ loop(event.rows) }}{% endfor %}",
    "our own names": "{{ _rows(profile, 1) }}{{ _open_url }}",
    "a renamed function": "{% set link = 1 %}{{ link }}",
    "the attr filter": "{{ profile | attr('__class__') }}",
    "the map filter": "{{ event.rows | map('upper') | list }}",
    "unpacked arguments": "{{ link(*event.rows) }}",
    "a link that is a script": "{{ link('javascript:alert(1)') }}",
    "a whole map": "{{ profile }}",
    "division by nothing": "{{ 1 / 0 }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_within_a_second(name: str) -> None:
    context = {
        "profile": {"name": "n" * 8000, "a": {"b": 1}},
        "event": {**ROWS, "names": ["n" * 8000] * 20},
    }
    started = perf_counter()

    with pytest.raises((CampaignError, RenderError)) as refusal:
        sms(HOSTILE[name], **context)

    assert perf_counter() - started < 1.0
    assert isinstance(refusal.value, AntiphonError)
    assert 0 < len(str(refusal.value)) < 800


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 20000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for a in event.rows %}x{% endfor %}",
        "{% set a = 1 %}{{ a }}",
        "{{ ''.__class__ }}",
        "{{ link('https://x.example') }}",
        "{{ nobody }}",
    ],
)
def test_a_hostile_expression_is_refused_too(text: str) -> None:
    with pytest.raises((CampaignError, RenderError)):
        evaluate(compile_expression(text), {"profile": {}, "event": ROWS})  # type: ignore[arg-type]


def test_an_expression_that_did_not_come_from_a_checked_file_is_checked_all_the_same() -> None:
    forged = Expression("{{ ''.__class__ }}")

    with pytest.raises(CampaignError, match="begin with _"):
        evaluate(forged, {})


def test_a_long_loop_within_the_bounds_is_not_refused() -> None:
    rows = [{"name": f"thing {n}"} for n in range(500)]

    text = sms("{% for row in event.rows %}{{ loop.index }} {{ row.name }}\n{% endfor %}",
               event={"rows": rows})  # fmt: skip

    assert text.splitlines()[499] == "500 thing 499"


def test_the_bound_on_loops_names_what_is_wrong() -> None:
    with pytest.raises(TooCostly, match="loops have too many rows"):
        sms("{% for a in event.rows %}{% for b in event.rows %}x{% endfor %}{% endfor %}",
            event={"rows": [1] * 1000})  # fmt: skip


WHOLE = """---
subject: Hi {{ profile.name }}
---
<mjml><mj-body><mj-section><mj-column><mj-image width="10px" src="x"/>
<mj-text padding="{{ profile.n }} 1px">it's {% if profile.n %}a "quoted" {{ profile.n }}{% endif %}
{% for row in event.rows %}<b>{{ row }}</b>{% endfor %}
<a href="https://x.example/{{ profile.n }}">x</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
SCRAPS = [
    "<", ">", '"', "'", "{{", "}}", "{%", "%}", "{#", "&", "/", "mj-text", "\0", "é", "{% if 1 %}",
    "<!--", "-->", "<style>", "{{ profile.n }}", "\r", "---",
]  # fmt: skip


def test_a_template_broken_in_any_way_is_an_error_with_a_line_or_a_whole_message() -> None:
    rng = random.Random(20261123)
    outcomes = [outcome_of(broken(rng)) for _ in range(400)]

    whole = [outcome for outcome in outcomes if isinstance(outcome, Content)]
    faults = [outcome for outcome in outcomes if isinstance(outcome, CampaignError)]
    assert 10 < len(whole) < 390
    assert all("ATPHx" not in one.html + one.text + one.subject for one in whole)
    assert all(re.match(r"templates/email/x\.mjml:\d+: ", str(fault)) for fault in faults)


def broken(rng: random.Random) -> bytes:
    letters = list(WHOLE)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(letters))
        letters[at : at + rng.choice([0, 0, 1, 3])] = [rng.choice([*SCRAPS, ""])]
    return "".join(letters).encode()


def outcome_of(source: bytes) -> Content | CampaignError | RenderError:
    """Anything else that is raised fails the test."""
    try:
        template = compile_template("email", "x", {"templates/email/x.mjml": source})
        return render(template, VALUES, setting=Setting())
    except (CampaignError, RenderError) as error:
        return error


VALUES = {"profile": {"name": "Ada", "n": 3}, "event": {"rows": [1, 2]}}
