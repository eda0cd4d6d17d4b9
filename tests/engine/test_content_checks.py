"""`check` tells what no reader would see: pictures inside a network, feeds and tags that are none,
values that never come.
"""

import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from engine.release.checking import compiled
from tests.campaigns.build import files

HEAD = "---\nsubject: Hello\n---\n"
WAY_OUT = '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'
MJML = "<mjml><mj-body><mj-section><mj-column>\nHERE\n</mj-column></mj-section></mj-body></mjml>"


def complaints(changed: dict[str, str | None]) -> list[str]:
    try:
        compiled(load_bundle(files(changed), environ=None))
    except InvalidWorkspace as error:
        return [str(problem) for problem in error.problems]
    return []


def of_page(page: str, **more: str) -> list[str]:
    others = {path.replace("__", "/"): text for path, text in more.items()}
    return complaints({"templates/email/remind.html": HEAD + page + WAY_OUT, **others})


@pytest.mark.parametrize(
    "picture",
    [
        '<img src="http://10.0.0.8/a.png" alt="">',
        '<img alt="" src="https://localhost:8080/a.png">',
        '<img src="https://127.1/a.png" alt="">',
        '<img src="https://2130706433/a.png" alt="">',
        '<img src="//169.254.169.254/latest/meta-data" alt="">',
        '<img src="https://[::1]/a.png" alt="">',
        '<img src="https://[::ffff:10.0.0.1]/a.png" alt="">',
        '<img src="https://nas.local/a.png" alt="">',
        '<img srcset="https://cdn.example/a.png 1x, https://192.168.1.1/b.png 2x" alt="">',
        '<td background="https://10.1.2.3/a.png">x</td>',
        "<p style=\"background: url('https://10.1.2.3/a.png')\">x</p>",
    ],
)
def test_a_picture_inside_a_network_is_refused_at_its_line(picture: str) -> None:
    (found,) = of_page(f"<p>one</p>\n{picture}\n")

    assert found.startswith("templates/email/remind.html:5: the picture at ")
    assert "is inside a network" in found


@pytest.mark.parametrize(
    "picture",
    [
        '<img src="https://cdn.example/a.png" alt="">',
        '<img src="https://8.8.8.8/a.png" alt="">',
        '<img src="{{ profile.plan }}" alt="">',
        '<img src="https://{{ profile.plan }}.cdn.example/a.png" alt="">',
        '<img src="cid:logo" alt=""><img src="data:image/png;base64,AA==" alt="">',
        '<a href="https://10.0.0.1/">a link is lint\'s business</a>',
    ],
)
def test_a_picture_that_can_be_loaded_or_cannot_be_known_is_not(picture: str) -> None:
    assert of_page(picture) == []


def test_pictures_of_mjml_of_a_partial_of_a_push_and_of_a_feed_are_looked_at() -> None:
    partial = "templates/email/_partials/logo.mjml"
    mjml = HEAD + MJML.replace("HERE", '{% include "logo" %}')

    found = complaints(
        {
            "templates/email/remind.html": None,
            "templates/email/remind.mjml": mjml,
            partial: '<mj-spacer />\n<mj-image src="https://10.0.0.1/a.png" alt="" />\n',
            "templates/push/cart.json": '{"title": "T",\n "image": "https://10.0.0.2/a.png"}',
            "catalog/new-in.csv": "id,title,url,image_url\n1,T,https://s.example,http://10.0.0.3/a",
        }
    )

    assert [it.split(": ")[0] for it in found] == [
        "catalog/new-in.csv",
        f"{partial}:2",
        "templates/push/cart.json:2",
    ]


FEED = "id,title,url,category\n1,Tea,https://s.example/1,tea\n"


def test_a_feed_or_a_column_that_is_not_there_is_told_with_the_nearest() -> None:
    block = '<p>x</p>\n{{% feed "{}" 1 {} as it %}}{{{{ it.title }}}}{{% endfeed %}}'

    fine = of_page(block.format("new-in", 'category="tea"'), **{"catalog__new-in.csv": FEED})
    (nameless,) = of_page(block.format("newin", ""), **{"catalog__new-in.csv": FEED})
    (columnless,) = of_page(
        block.format("new-in", 'kategory="tea"'), **{"catalog__new-in.csv": FEED}
    )
    (none,) = of_page(block.format("new-in", ""))

    assert fine == []
    assert nameless == (
        'templates/email/remind.html:5: there is no feed "newin" in catalog/. '
        'Did you mean "new-in"?'
    )
    assert "has the column" in columnless
    assert 'Did you mean "category"?' in columnless
    assert none.endswith("Write catalog/new-in.csv.")


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("<mj-txt>Hello</mj-txt>", "MJML has no <mj-txt>: it would vanish with all that is in it."),
        ("<mj-text>Hello</mj-row>", "MJML has no <mj-row>"),
        ("<mj-text>Hello</mj-button>", "</mj-button> closes nothing here: <mj-text> is open."),
    ],
)
def test_a_slip_in_mjml_that_its_compiler_passes_over_is_told(inner: str, says: str) -> None:
    found = complaints(
        {
            "templates/email/remind.html": None,
            "templates/email/remind.mjml": HEAD + MJML.replace("HERE", inner),
        }
    )

    assert found[0].startswith("templates/email/remind.mjml:5: ")
    assert any(says in it for it in found)


def test_mjml_that_cannot_be_read_is_told_with_its_line() -> None:
    for inner in ("<mj-text>Hello", "<mj-text\n<b>x</b>", "<mj-text a=>x</mj-text>"):
        (found,) = complaints(
            {
                "templates/email/remind.html": None,
                "templates/email/remind.mjml": HEAD + MJML.replace("HERE", inner),
            }
        )

        assert found.startswith("templates/email/remind.mjml:5: MJML: "), found


def test_a_page_of_300_kb_is_refused_with_its_size() -> None:
    (found,) = of_page("<p>" + "x" * 300_000 + "</p>")

    assert "the template has 300,0" in found
    assert "at most 262,144 are allowed" in found


@pytest.mark.parametrize(
    ("channel", "path", "text"),
    [
        ("email", "templates/email/remind.html", HEAD + "{{ VALUE }}" + WAY_OUT),
        ("text", "templates/sms/remind.txt", "Hi {{ VALUE }}"),
        ("app", "templates/push/remind.json", '{"title": "T", "body": "{{ VALUE }}"}'),
        ("app", "templates/push/remind.json", '{"title": "T", "data": {"a": ["{{ VALUE }}"]}}'),
    ],
)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("event.cart_vale", 'brings no such property. Did you mean "cart_value"?'),
        ("profile.paln", 'the trait "paln" is not declared in antiphon.yaml. Did you mean "plan"?'),
        ("event.cart_value", ""),
        ("profile.plan", ""),
        ("profile.paln | default('x')", ""),
    ],
)
def test_a_value_that_never_comes_is_told_on_every_channel(
    channel: str, path: str, text: str, value: str, says: str
) -> None:
    base = files()
    named = (
        base["antiphon.yaml"]
        .decode()
        .replace("sms: {}", "sms: {}, text: {kind: sms}, app: {kind: push}")
    )
    campaign = (
        base["campaigns/nudge.yaml"].decode().replace("channel: email", f"channel: {channel}")
    )

    found = complaints(
        {
            "antiphon.yaml": named,
            "campaigns/nudge.yaml": campaign,
            path: text.replace("VALUE", value),
        }
    )

    assert len(found) == (1 if says else 0), found
    assert all(says in it for it in found)
