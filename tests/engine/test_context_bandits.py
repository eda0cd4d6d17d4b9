"""A bandit with contexts from its YAML to its reading: each group's weights move to its own arm."""

import json
from collections import Counter
from collections.abc import Iterator
from math import sqrt

import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from engine.core.model.instants import DAY, HOUR
from engine.readout.findings import read_out
from engine.readout.studies import studies
from engine.story import message_story, told
from experiments.bandits.cells import Cell, always, contrast
from experiments.bandits.log import ArmSums, Batch
from experiments.evidence.compare import welch
from experiments.reporting.report import Section, as_json, html, markdown, text
from tests.engine.test_bandits import ORDERS, SETTINGS, SPEND, Shop
from tests.rig.sizes import scaled

CONTEXTS = """      contexts:
          phone: {trait: {device: mobile}}
          loyal: {segment: regulars}
"""
WELCOME = f"""campaign: welcome
trigger: {{event: Signed Up}}
topic: offers
journey:
  - experiment: greeting
    id: greet
    variants:
      control: {{weight: 1, do: []}}
      warm: {{weight: 1, do: [{{send: {{channel: email, template: warm}}}}]}}
      bold: {{weight: 1, do: [{{update: {{traits: {{plan: bold}}}}}}]}}
    metrics: {{primary: orders-1d, secondary: spend-1d}}
    allocation:
      bandit:
        algorithm: thompson
        floor: 20%
        every: 1d
        explore: 20%
  {CONTEXTS}"""
TRAITS = "traits: {device: {type: string}, tier: {type: string}, "
WORKSPACE = {
    "antiphon.yaml": SETTINGS.replace("traits: {", TRAITS),
    "campaigns/welcome.yaml": WELCOME,
    "segments/regulars.yaml": "segment: regulars\nwhen: {trait: {tier: gold}}\n",
    "metrics/orders-1d.yaml": ORDERS,
    "metrics/spend-1d.yaml": SPEND,
    "templates/email/warm.txt": "---\nsubject: Hello\n---\nWelcome. {{ unsubscribe_url }}\n",
}
LIFTS = {
    "phone": {"control": 0.0, "warm": 0.35, "bold": -0.02},
    "loyal": {"control": 0.0, "warm": -0.02, "bold": 0.35},
    "otherwise": {"control": 0.0, "warm": 0.0, "bold": 0.2},
}
TRAITS_OF = {
    "phone": {"device": "mobile", "tier": "gold"},  # both hold: the first counts
    "loyal": {"device": "desktop", "tier": "gold"},
    "otherwise": {"device": "desktop"},
}


class ContextShop(Shop):
    """Every day people of three kinds sign up, a third of them each."""

    def __init__(self, url: str, files: dict[str, str] = WORKSPACE) -> None:
        super().__init__(url, files)
        self.kind: dict[str, str] = {}

    def a_day(self, *, n: int, base: float = 0.1) -> None:
        first = self.n_people + 1
        self.n_people += n
        kinds = list(TRAITS_OF)
        for number in range(first, first + n):
            user = f"u{number}"
            self.kind[user] = kinds[number % 3]
            self.send({"type": "identify", "userId": user, "traits": {
                **TRAITS_OF[self.kind[user]], "email": f"{user}@example.com"}})  # fmt: skip
            self.send({"type": "track", "userId": user, "event": "Signed Up"})
        self.settle()
        self.now += HOUR
        drawn = self.rows(
            "SELECT i.value, e.variant FROM exposure e JOIN identity i "
            "ON i.profile_id = e.profile_id AND i.kind = 'user' WHERE e.experiment = 'greeting' "
            "AND e.at > ? ORDER BY e.profile_id",
            self.now - 2 * HOUR,
        )
        for user, variant in drawn:
            if self.rng.random() < base + LIFTS[self.kind[user]][variant]:
                self.track(user, "Order Completed", revenue=10.0)
        self.settle()
        self.now += 23 * HOUR


@pytest.fixture
def shop(database_url: str) -> Iterator[ContextShop]:
    stage = ContextShop(database_url)
    yield stage
    stage.close()


def test_each_context_learns_its_own_arm_and_the_log_alone_says_how_each_was_drawn(
    shop: ContextShop,
) -> None:
    n_days, n_a_day = 6, scaled(240)

    for day in range(n_days):
        shop.a_day(n=n_a_day, base=0.05 + 0.05 * day)  # for all arms alike
        shop.learn()
    shop.now += 2 * DAY

    # Weights: every context leads to its own arm, nobody below the floor.
    learnt = shop.process.playbook.program.allocations["greeting"]
    last = learnt[-1].contexts
    assert {name: max(its, key=its.__getitem__) for name, its in last.items()} == {
        "phone": "warm", "loyal": "bold", "otherwise": "bold",
    }  # fmt: skip
    assert all(sum(its.values()) == 10_000 for its in last.values())
    assert all(min(its.values()) >= 2_000 for it in learnt for its in it.contexts.values())

    # Exposures: the context and the version name the vector that the probability comes from.
    kept = {it.version: it for it in learnt}
    seen: Counter[str] = Counter()
    for user, variant, probability, version, context in shop.rows(
        "SELECT i.value, e.variant, e.probability, e.allocation, e.context FROM exposure e "
        "JOIN identity i ON i.profile_id = e.profile_id AND i.kind = 'user'"
    ):
        assert context == shop.kind[user]
        seen[context] += 1
        if version:
            weights = kept[version].contexts.get(context, kept[version].weights)
            assert probability == pytest.approx(weights[variant] / 10_000)
        else:
            assert probability == pytest.approx(1 / 3, abs=2e-4)
    assert seen == dict.fromkeys(TRAITS_OF, n_days * n_a_day // 3)

    # The report: contexts told apart, the policy that ran, and what context is worth.
    _read_in_every_face(shop)

    # Effects: of everybody, by the contexts that people truly have.
    found = shop.reading("orders-1d", "spend-1d")
    assert found.why_not == ""
    assert found.log.n_unexplained == 0
    assert found.sample_ratio is not None
    assert found.sample_ratio.passed
    by = {(it.metric.name, it.treatment): it for it in found.comparisons}
    for arm in ("warm", "bold"):
        read_by_engine = by["orders-1d", arm].weighted
        means = (read_by_engine.treatment, read_by_engine.control)
        assert _by_hand(shop, arm) == pytest.approx(means, rel=1e-9)
        truth = sum(its[arm] for its in LIFTS.values()) / 3
        for read in (by["orders-1d", arm].weighted, by["orders-1d", arm].batched):
            error = read.treatment - read.control - truth
            assert abs(error) < 1.5 * welch(read, alpha=0.05).critical * sqrt(
                read.difference_variance
            )


def _by_hand(shop: ContextShop, arm: str) -> tuple[float, float]:
    """Both means of a comparison from the rows themselves, summed here."""
    ordered = {row[0] for row in shop.rows("SELECT profile_id FROM event "
                                           "WHERE name = 'Order Completed'")}  # fmt: skip
    kept = {it.version: it for it in shop.process.playbook.program.allocations["greeting"]}
    sums: dict[tuple[int, int, str], Counter[tuple[str, bool]]] = {}
    for profile, variant, at, version, context in shop.rows(
        "SELECT profile_id, variant, at, allocation, context FROM exposure"
    ):
        cohort = sums.setdefault((int(at) // DAY, int(version), context), Counter())
        cohort[variant, profile in ordered] += 1
    cells = []
    for (day, version, context), counts in sorted(sums.items()):
        weights = dict.fromkeys(LIFTS["phone"], 1)
        if version:
            weights = kept[version].contexts.get(context, kept[version].weights)
        total = sum(weights.values())
        arms = {}
        for name in weights:
            n, hits = counts[name, True] + counts[name, False], counts[name, True]
            arms[name] = ArmSums(n, hits / n, hits * (n - hits) / n) if n else ArmSums(0)
        chances = {name: it / total for name, it in weights.items()}
        cells.append(Cell(context, Batch(version, day, chances, arms)))
    read = contrast(cells, always(arm, cells), against=always("control", cells))
    return read.treatment, read.control


def _read_in_every_face(shop: ContextShop) -> None:
    playbook = shop.process.playbook
    (study,) = studies(playbook.program, playbook.workspace)
    with shop.process.database.read() as connection:
        found = read_out(connection, study, as_of=shop.now, experiment=shop.bandit)
    readout = found.readout
    assert readout is not None, found.why_not
    by = {it.variant: it.dimensions[0] for it in readout.segments}
    assert by.keys() == {"warm", "bold"}
    for arm, dimension in by.items():
        assert dimension.name == "context"
        assert {it.level for it in dimension.levels} == set(TRAITS_OF)
        for level in dimension.levels:
            truth = LIFTS[level.level][arm]
            radius = level.lift_abs.ci_upper - level.lift_abs.estimate
            assert abs(level.lift_abs.estimate - truth) < 1.6 * radius
    assert any(it.differs for it in by.values())  # they do, by 35 points
    said = "\n".join(readout.notes)
    assert "Context phone: control " in said
    assert "Choosing by context, as it ran, against control for everybody: +0." in said
    # With a floor of 20 % it earns 0.177 a unit, and so does bold for everybody: no sure sign.
    assert "Against the best single arm for everybody (it seems to be bold): " in said
    assert "What context is worth: Accepted" in said
    page, machine = html([Section(readout=readout)], title="greeting"), json.dumps(as_json(readout))
    faces = (text(readout), markdown(readout), page, machine)
    for shown in faces:
        assert "phone" in shown
        assert "single arm" in " ".join(shown.split())


def test_a_message_explains_the_context_and_the_chance_it_was_drawn_by(shop: ContextShop) -> None:
    for _ in range(3):
        shop.a_day(n=180)
        shop.learn()
    rows = shop.rows(
        "SELECT m.id, e.context, e.probability, e.allocation FROM message m JOIN exposure e "
        "ON e.profile_id = m.profile_id WHERE e.allocation > 0 AND e.context = 'phone' LIMIT 1"
    )
    ((message, _, probability, version),) = rows

    with shop.process.database.read() as connection:
        story = message_story(connection, message, program=None, segments=None)

    assert story is not None
    details = [it.detail for it in told(story) if it.kind == "exposed"]
    assert details[0].startswith(
        f"warm, with probability {probability:.3g} in the context phone (version {version} of the"
        " weights)"
    )


def test_other_contexts_open_a_phase_and_a_bandit_without_any_is_the_same_as_ever(
    shop: ContextShop,
) -> None:
    (bandit,) = shop.process.playbook.program.experiments.values()
    assert bandit.phase == 1

    again = shop.plan(WORKSPACE)
    other = WELCOME.replace("device: mobile", "device: tablet")
    edited = shop.plan({**WORKSPACE, "campaigns/welcome.yaml": other})
    segment = "segment: regulars\nwhen: {trait: {tier: silver}}\n"
    moved = shop.plan({**WORKSPACE, "segments/regulars.yaml": segment})

    assert not [it for it in again.changes if it.opens_phase]
    for plan, why in ((edited, "contexts"), (moved, "segment asks")):
        (change,) = [it for it in plan.changes if it.opens_phase]
        assert any(why in it for it in change.details)


LOYAL = "loyal: {segment: regulars}"
MANY = "\n          ".join(f"c{i}: {{trait: {{tier: t{i}}}}}" for i in range(12))
TWO_TIERS = "loyal: {all: [{trait: {tier: a}}, {trait: {tier: b}}]}"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (LOYAL, "loyal: {trait: {device: {in: [mobile]}}}", 'is ever in the context "loyal"'),
        (LOYAL, "again: {trait: {device: mobile}}", 'is ever in the context "again"'),
        (LOYAL, "otherwise: {segment: regulars}", "is what the rest is called"),
        (LOYAL, "loyal: {segment: regular}", "there is no segment"),
        (LOYAL, "loyal: {where: {device: mobile}}", "there is no client"),
        (LOYAL, TWO_TIERS, "nothing can match"),
        (LOYAL, MANY, "13 contexts are too many; at most 12"),
        ("control: {weight: 1", "control: {weight: 0", 'has no arm "control" to compare with'),
    ],
)
def test_contexts_that_could_not_be_told_apart_are_refused(old: str, new: str, why: str) -> None:
    assert old in WELCOME
    files = {**WORKSPACE, "campaigns/welcome.yaml": WELCOME.replace(old, new)}

    with pytest.raises(InvalidWorkspace, match=why):
        load_bundle({name: it.encode() for name, it in files.items()}, environ={})
