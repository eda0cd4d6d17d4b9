"""`check` says what a push template asks that no vendor understands."""

import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from engine.release.checking import check_providers, compile_templates
from tests.campaigns.build import SETTINGS, files

WAY_OUT = '---\nsubject: Hello\n---\n<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'


def complaints(source: str, *, path: str = "templates/push/cart.json") -> list[str]:
    shop = {"antiphon.yaml": SETTINGS, "templates/email/remind.html": WAY_OUT, path: source}
    workspace = load_bundle(files(shop), environ=None)
    try:
        check_providers(workspace, compile_templates(workspace))
    except InvalidWorkspace as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_push_with_every_key_is_right() -> None:
    assert (
        complaints(
            '{"title": "{{ profile.first_name }}", "body": "B", "url": "shop://a", "badge": 1,\n'
            ' "image": "https://x.example/a.png", "sound": "default", "collapse_key": "cart",\n'
            ' "ttl": "4h", "priority": "high", "data": {"any": {"thing": "{{ event.x }}"}}}'
        )
        == []
    )
    short = "---\ntitle: Hi\nurl: https://x.example\n---\nBody"
    assert complaints(short, path="templates/push/cart.txt") == []


def test_an_unknown_key_is_told_with_its_line_and_the_nearest() -> None:
    (found,) = complaints('{"title": "T",\n "colapse_key": "cart"}')

    assert found.startswith('templates/push/cart.json:2: "colapse_key" is not a key of a push; ')
    assert found.endswith('Did you mean "collapse_key"?')


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('"ttl": "soon"', '"ttl" is a span, such as 30m, 4h or 2d.'),
        ('"badge": "many"', '"badge" is a whole number, 0 to clear it.'),
        ('"priority": "urgent"', '"priority" is high or normal.'),
        ('"data": ["x"]', '"data" is a map of texts.'),
    ],
)
def test_a_value_that_can_be_no_such_thing_is_told(written: str, found: str) -> None:
    source = f'{{"title": "T",\n {written}}}'

    assert complaints(source) == [f"templates/push/cart.json:2: {found}"]


def test_what_is_only_known_when_it_is_rendered_is_left_for_then() -> None:
    source = '{"title": "{{ profile.a }}", "ttl": "{{ event.ttl }}", "badge": "{{ event.n }}"}'

    assert complaints(source) == []
