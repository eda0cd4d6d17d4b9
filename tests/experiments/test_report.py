import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.metrics import Metric
from experiments.reporting import report
from tests.experiments.data import aggregates
from tests.experiments.readouts import a_full_readout

VOID = {"meta", "link", "br", "img"}


def a_readout(*, n_treated=2_000, method="fixed", name="cart-nudge", variant="reminder"):
    rng = np.random.default_rng(3)

    def arm(n, lift):
        past = rng.normal(40, 15, n)
        return {
            "paid": (rng.random(n) < 0.1 * (1 + 5 * lift)).astype(float),
            "revenue": past * 0.8 + rng.normal(20 * (1 + lift), 10, n),
            "past": past,
        }

    arms = {"control": arm(2_000, 0.0), variant: arm(n_treated, 0.2)}
    metrics = [
        Metric(name="paid", kind="proportion", title="conversion"),
        Metric(name="revenue", unit="EUR", covariates=("past",)),
    ]
    plan = ExperimentPlan(
        name=name,
        control="control",
        weights={"control": 1, variant: 1},
        metrics=metrics,
        method=method,
        planned_sample=4_000,
    )
    return analyze(plan, aggregates(arms))


class Balance(HTMLParser):
    """Collects unclosed tags, attributes that reach outside, and text."""

    def __init__(self):
        super().__init__()
        self.open, self.outside, self.text, self.ids, self.links = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "link", "img", "iframe"):
            self.outside.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_json_has_the_public_shape_and_no_nan():
    shown = json.loads(json.dumps(report.as_json(a_readout()), allow_nan=False))

    assert set(shown["srm"]) >= {"pvalue", "expected", "observed"}
    assert shown["variants"] == {"control": {"n": 2_000}, "reminder": {"n": 2_000}}
    entry = shown["metrics"]["revenue"]["reminder"]
    assert set(entry) >= {
        "control", "treatment", "lift_abs", "lift_rel", "pvalue", "pvalue_adjusted", "std_error",
        "method", "cuped",
    }  # fmt: skip
    assert set(entry["lift_rel"]) == {"estimate", "ci_lower", "ci_upper"}
    assert entry["cuped"]["applied"] is True
    assert 0.3 < entry["cuped"]["variance_reduction"] < 0.9
    assert entry["unadjusted"]["std_error"] > entry["std_error"]
    assert entry["verdict"]["word"] == "effect detected"


def test_the_first_thing_in_the_text_is_what_to_do_and_then_the_sentence():
    lines = report.text(a_readout()).splitlines()

    assert lines[3] == "Ship reminder"
    said = [line for line in lines if line.startswith("reminder raised conversion by ")]
    assert len(said) == 1
    header = next(line for line in lines if line.startswith("metric"))
    row = next(line for line in lines if line.startswith("revenue"))
    # Columns are aligned: every heading starts where its cell starts.
    assert row.index("effect detected") == header.index("verdict")


def test_markdown_is_a_table_with_as_many_cells_in_every_row():
    shown = report.markdown(a_readout(name="a|b <i>"))

    assert "a\\|b &lt;i>" in shown
    tables = [block for block in shown.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3  # sizes, effects, what to weigh
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1


def test_a_mismatch_shows_no_effect_to_people_and_says_withheld_to_machines():
    readout = a_readout(n_treated=2_600)

    page = report.html([report.Section(readout=readout)], title="r")
    body = page.partition("</style>")[2]
    texts = [report.text(readout), report.markdown(readout), re.sub(r"<[^>]*>", " ", body)]

    for shown in texts:
        assert "No verdict is shown" in shown
        assert "raised" not in shown
        assert "to 1" not in shown.replace("2,000 to", "")  # No interval.
    word = report.as_json(readout)["metrics"]["revenue"]["reminder"]["verdict"]["word"]
    assert word == "withheld"
    assert "<h3>Effects</h3>" not in page
    assert "figures" not in body
    assert "<h3>Plain means</h3>" in page


def test_the_page_is_whole_self_contained_and_holds_every_section():
    page = report.html(
        [
            report.Section(readout=a_readout(), kind="A/B test", lead=("A lead.",)),
            report.Section(readout=a_readout(method="bayesian"), title="Again"),
            report.Note(heading="What was planted", paragraphs=("Fifteen per cent.",)),
            report.Table(
                heading="Check", columns=("what", "found"), rows=(("x", "12 %"), ("y", "−3 %"))
            ),
        ],
        title="What it was worth",
        notes=("Opening.",),
    )

    found = parsed(page)
    text = " ".join(found.text)
    assert found.outside == []
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", page)
    assert "url(" not in page.replace("url(#", "")
    assert "@import" not in page
    for expected in ("What it was worth", "Opening.", "A lead.", "Again", "Fifteen per cent."):
        assert expected in text
    assert "not peeking-proof" in text
    assert {link.lstrip("#") for link in found.links} <= set(found.ids)
    assert text.index("reminder raised conversion") < text.index("Effects")


def test_every_plot_is_valid_and_says_in_words_what_it_shows():
    page = report.html([report.Section(readout=a_full_readout())], title="r")

    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)

    assert len(plots) >= 20
    for plot in plots:
        root = ElementTree.fromstring(plot)
        assert root.get("aria-hidden") == "true" or root.get("aria-label") == root[0].text
        for number in re.findall(r"[-\d.]+", " ".join(path.get("d", "") for path in root.iter())):
            assert -200 <= float(number) <= 1_000


def test_names_cannot_break_out_of_the_page():
    evil = '<script>alert("1")</script>'

    page = report.html(
        [
            report.Section(readout=a_readout(name=evil, variant=evil), lead=(evil,), kind=evil),
            report.Note(heading=evil, paragraphs=(evil,)),
            report.Table(heading=evil, columns=(evil,), rows=((evil,),), caption=evil),
        ],
        title=evil,
        notes=(evil,),
    )

    assert parsed(page).outside == []
    assert "<script" not in page


def test_an_unbounded_interval_is_drawn_and_said():
    readout = a_readout()
    entry = readout.comparisons[0]
    wide = replace(entry.effect.lift_rel, ci_lower=None, ci_upper=None)
    readout = replace(
        readout, comparisons=(replace(entry, effect=replace(entry.effect, lift_rel=wide)),)
    )

    page = report.html([report.Section(readout=readout)], title="r")

    assert "unbounded" in page
    assert "endless" in page
    json.dumps(report.as_json(readout), allow_nan=False)
