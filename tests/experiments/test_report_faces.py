"""One readout, four faces: valid by the schema, accessible, safe with hostile names, repeatable."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from experiments.evidence.compare import Interval
from experiments.reporting import report
from experiments.reporting.chart import Curve, curve
from experiments.reporting.style import CSS
from tests.experiments.readouts import a_collection, a_full_readout, a_plan

SCHEMA_PAGE = Path(__file__).parents[2] / "docs" / "readout.schema.json"


@pytest.fixture(scope="module")
def full():
    return a_full_readout()


def a_page(readout, **changes):
    section = report.Section(readout=readout, title="Nudge people", kind="A/B test", **changes)
    return report.html([section], title="What it was worth")


# --- the schema -----------------------------------------------------------------------------------


def strict(schema):
    """The same schema, with any key refused that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema.get("required"), list):
        closed["additionalProperties"] = False
    return closed


def every_kind_of_readout(full):
    yield full
    yield a_full_readout(acknowledged="bots", populations={"week": {"1": {"control": 900}}})
    method = {"method": "fixed", "ends_at": a_plan().ends_at}
    yield a_full_readout(plan=a_plan(**method), as_of=a_plan().ends_at)  # awaited
    yield a_full_readout(plan=a_plan(method="bayesian"))
    looks = {"method": "group_sequential", "looks": (0.25, 0.5, 1.0)}
    yield a_full_readout(plan=a_plan(**looks))
    aggregates, collected = a_collection()
    lost = {**aggregates, "reminder": collected.days["2026-03-02"]["reminder"]}
    from experiments.analysis.analyze import analyze

    yield analyze(a_plan(), lost)  # a mismatch


def test_every_kind_of_readout_is_valid_by_the_schema_with_unknown_keys_refused(full):
    validator = jsonschema.Draft202012Validator(strict(report.json_schema()))

    for readout in every_kind_of_readout(full):
        shown = json.loads(json.dumps(report.as_json(readout), allow_nan=False))
        validator.validate(shown)


def test_the_schema_refuses_what_is_not_a_readout(full):
    validator = jsonschema.Draft202012Validator(report.json_schema())
    shown = report.as_json(full)

    for broken in (
        {**shown, "srm": None},
        {**shown, "decision": {**shown["decision"], "choice": "maybe"}},
        {key: value for key, value in shown.items() if key != "plan"},
        {**shown, "metrics": {"revenue-7d": {"reminder": {}}}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(broken)


def test_the_published_schema_is_the_one_in_the_code():
    from engine.readout.reports import report_schema

    assert json.loads(SCHEMA_PAGE.read_text(encoding="utf-8")) == report_schema()


# --- the page -------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """Headings, labels, and the text under every element, in order."""

    def __init__(self):
        super().__init__()
        self.headings, self.unnamed, self.ids, self.scrolls, self.summaries = [], [], [], [], 0
        self._stack = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg" and given.get("aria-hidden") != "true":
            named = given.get("role") == "img" and given.get("aria-label")
            self.unnamed += [] if named else [given]
        if tag in ("th",) and not given.get("scope"):
            self.unnamed.append({"th": given})
        if "scroll" in given.get("class", "").split():
            self.scrolls.append(given.get("tabindex"))
        self.summaries += tag == "summary"
        self.ids += [given["id"]] if "id" in given else []


def seen(page):
    parser = Seen()
    parser.feed(page)
    parser.close()
    return parser


def test_the_page_can_be_heard_and_walked_by_keyboard(full):
    found = seen(a_page(full))

    assert found.unnamed == []
    assert all(after - before <= 1 for before, after in pairwise(found.headings))
    assert set(found.scrolls) == {"0"}  # What scrolls can be reached by keyboard.
    assert found.summaries >= 4
    assert len(found.ids) == len(set(found.ids))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.2, section 1.4.3."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes():
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    assert len(blocks) == 3  # light, dark, print
    for block in blocks:
        pairs = re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block)
        yield {
            name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
            for name, value in pairs
        }


def test_every_text_colour_stands_out_from_what_is_behind_it_in_every_theme():
    for palette in palettes():
        for text in ("ink", "soft", "good", "bad", "null", "open"):
            for ground in ("paper", "wash"):
                assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground, palette)
        for tone in ("good", "bad", "null", "open"):
            assert contrast(palette[tone], palette[f"{tone}-wash"]) >= 4.5, (tone, palette)


def test_no_meaning_is_in_colour_alone(full):
    page = a_page(full)

    for word in re.findall(r'<span class="chip \w+">(.*?)</span>', page):
        assert re.sub(r"\W", "", word)  # Every coloured chip holds its word.
    # Good and bad have a square, the others a ring.
    for svg in re.findall(r'<svg class="forest (\w+)".*?</svg>', page, re.DOTALL):
        assert svg in ("good", "bad", "null", "open", "axis")


def test_the_page_has_every_panel_a_reader_is_promised(full):
    text = re.sub(r"<[^>]*>", " ", a_page(full))

    for panel in (
        "Effects",
        "Guardrails",
        "How it settled",
        "For whom",
        "On those it reached",
        "Does it last",
        "With and without CUPED",
        "Units per variant",
        "What was left out and why",
        "Why this decision",
        "The plan",
        "How this was read",
    ):
        assert panel in text
    assert "at stake in 30 days" in text
    assert "sha256" in text
    assert "frozen when the experiment started" in text
    assert "not followed" in text
    assert "31 units" in text


def test_no_table_with_a_plot_is_cut_off_on_a_narrow_screen(full):
    """Such tables become lists there, in which every number says what it is of."""
    page = a_page(full)

    for name in ("For whom", "Units per variant"):
        panel = page.partition(f"<h3>{name}</h3>")[2].partition("<h3>")[0]
        table = panel[panel.index('<table class="forest-table">') :].partition("</table>")[0]
        cells = re.findall(r"<td[^>]*>", table)
        assert all("data-of=" in it or "plot" in it or "aria-hidden" in it for it in cells)


def test_every_face_says_what_is_counted_and_a_tiny_p_without_an_equals_sign(full):
    tiny = replace(full.srm, anytime_pvalue=1e-9)
    counted = replace(full, counted="clusters", srm=tiny)

    faces = (a_page(counted), report.text(counted), report.markdown(counted))

    assert "Clusters per variant" in faces[0]
    assert all("clusters" in face for face in faces)
    assert all(not re.search(r"p[ \u00a0]=[ \u00a0](<|&lt;)", face) for face in faces)


def test_what_to_do_stands_before_everything_else(full):
    page = a_page(full).partition("</style>")[2]
    assert full.decision is not None

    first = page.index('class="do"')
    assert all(first < page.index(later) for later in ("<table", "<svg", "<h3"))


def test_hostile_names_reach_no_face_as_markup():
    evil = "<img src=x onerror=alert(1)>\"'|`"
    plan = a_plan(name=evil)
    readout = a_full_readout(plan=plan, acknowledged=evil, engine_version=evil, snapshot=evil)
    readout = replace(readout, notes=(evil,))

    page = report.html(
        [report.Section(readout=readout, title=evil, kind=evil, lead=(evil,))],
        title=evil,
        notes=(evil,),
    )

    assert "<img" not in page
    assert "<img" not in report.markdown(readout)
    json.dumps(report.as_json(readout), allow_nan=False)


def test_the_same_readout_is_the_same_bytes_twice():
    one, other = (a_full_readout() for _ in range(2))

    assert a_page(one) == a_page(other)
    assert json.dumps(report.as_json(one)) == json.dumps(report.as_json(other))
    assert report.text(one) == report.text(other)
    assert report.markdown(one) == report.markdown(other)


def test_two_sections_of_a_page_share_no_id(full):
    page = report.html(
        [report.Section(readout=full), report.Section(readout=full, title="Again")], title="r"
    )

    ids = seen(page).ids
    assert len(ids) == len(set(ids)) >= 10


# --- charts ---------------------------------------------------------------------------------------


def test_a_curve_without_any_bounds_still_draws_its_line():
    nothing = Interval(0.1, None, None)
    drawn = curve(
        Curve(("2026-03-01", "2026-03-02"), (nothing, nothing)),
        label="l", tone="null", tick=str, number=0,
    )  # fmt: skip

    assert 'class="line"' in drawn
    assert 'class="band"' not in drawn


# --- the terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_text_for_a_terminal_is_no_wider_than_it(full, width):
    shown = report.text(full, width=width)

    assert max(map(len, shown.splitlines())) <= max(width, 40) + 24  # A name may be longer.
    assert "\x1b" not in shown


def test_colour_only_repeats_what_the_words_say(full):
    plain = report.text(full, width=200)
    painted = report.text(full, width=200, colour=True)

    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == plain


def test_a_wide_terminal_gets_a_table_and_a_narrow_one_lists(full):
    wide, narrow = report.text(full, width=200), report.text(full, width=60)

    assert "  treatment" in next(it for it in wide.splitlines() if it.startswith("metric"))
    assert "  verdict" in narrow
    assert not any(it.startswith("metric  ") for it in narrow.splitlines())
