"""Every kind of slip in a workspace gets one line: where, what was found, what to do."""

import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from tests.campaigns.build import CAMPAIGN, EVENTS, METRIC, SEGMENT, SETTINGS, files, problems_of


def campaign(**parts: str) -> str:
    """A campaign with some of its parts written differently."""
    written = {
        "state": "live",
        "trigger": "{event: Product Added}",
        "rest": "priority: 50",
        "journey": "  - exit: true",
        **parts,
    }
    return (
        f"campaign: nudge\nstate: {written['state']}\ntrigger: {written['trigger']}\n"
        f"topic: offers\n{written['rest']}\njourney:\n{written['journey']}\n"
    )


STEP = {
    # what stands in the journey -> what is said of it; the journey starts on line 7
    "  - delay: soon": (
        'campaigns/nudge.yaml:7: delay: "soon" is not a duration. Write 30m, 24h, 7d or 2w '
        "(units: s, m, h, d, w)."
    ),
    "  - dealy: 30m": 'campaigns/nudge.yaml:7: "dealy" is not a step. Did you mean "delay"?',
    "  - wait": ('campaigns/nudge.yaml:7: a step is a mapping such as `delay: …`, not "wait".'),
    "  - recommend: {n: 4}": ('campaigns/nudge.yaml:7: "recommend" needs the key "model".'),
    "  - delay: 30m": (
        "campaigns/nudge.yaml:7: this delay can hold people and has no id. Name it, such as "
        '"id: settle", so that later versions know where people are.'
    ),
    "  - delay: 30m\n    exit: true\n    id: a": (
        'campaigns/nudge.yaml:8: "exit" starts a step of its own. Give it its own dash: '
        '"- exit: …".'
    ),
    "  - delay: 30m\n    id: a\n  - delay: 1h\n    id: a": (
        'campaigns/nudge.yaml:10: the step id "a" stands twice; it is already on line 8. Ids are '
        "unique in a campaign; rename one."
    ),
    "  - delay: 30m\n    id: 2a": (
        'campaigns/nudge.yaml:8: id: "2a" cannot name a step. Start with a letter, then a-z, 0-9, '
        "- and _."
    ),
    "  - exit: true\n  - exit: true": (
        "campaigns/nudge.yaml:8: nothing gets here: the step before it is an exit. Delete one of "
        "them."
    ),
    "  - exit: false": (
        "campaigns/nudge.yaml:7: exit: false does nothing. Write exit: true, or delete the step."
    ),
    "  - exit: yes": (
        'campaigns/nudge.yaml:7: exit: "yes" is not a yes or no. Write true or false.'
    ),
    "  - wait_for: {event: Order Completed}\n    id: w": (
        'campaigns/nudge.yaml:7: "wait_for" needs the key "timeout": nobody may wait for ever. '
        "Write timeout: 24h."
    ),
    "  - wait_for: {event: Order Complete, timeout: 1d}\n    id: w": (
        'campaigns/nudge.yaml:7: the event "Order Complete" is not declared in events/. Did you '
        'mean "Order Completed"?'
    ),
    "  - wait_for: {event: Order Completed, timeout: 1d, counting_from: start}\n    id: w": (
        'campaigns/nudge.yaml:7: counting_from: "start" is not allowed here. Allowed: entry, '
        "ever, step."
    ),
    "  - wait_for: {event: Order Completed, timeout: 1d}\n    id: w\n    than: []": (
        'campaigns/nudge.yaml:9: unknown key "than". Did you mean "then"?'
    ),
    "  - delay_until: {at: 9:30}\n    id: m": (
        'campaigns/nudge.yaml:7: at: "9:30" is not a time of day. Write "09:30", from 00:00 to '
        "23:59."
    ),
    '  - delay_until: {at: "09:30", days: [mon, tues]}\n    id: m': (
        'campaigns/nudge.yaml:7: days: "tues" is not allowed here. Did you mean "tue"?'
    ),
    '  - delay_until: {at: "09:30", zone: Europe/Berln}\n    id: m': (
        'campaigns/nudge.yaml:7: zone: "Europe/Berln" is not a time zone. Write an IANA name: '
        "Europe/Berlin."
    ),
    "  - send: {channel: emial, template: remind}": (
        'campaigns/nudge.yaml:7: there is no channel "emial". Did you mean "email"?'
    ),
    "  - send: {channel: email, template: remindr}": (
        'campaigns/nudge.yaml:7: there is no template "remindr" in templates/email/. Did you mean '
        '"remind"?'
    ),
    "  - send: {channel: sms, template: remind}": (
        'campaigns/nudge.yaml:7: there is no template "remind" in templates/sms/. Allowed: code.'
    ),
    "  - send: {channel: email, template: remind, topic: offer}": (
        'campaigns/nudge.yaml:7: there is no topic "offer". Did you mean "offers"?'
    ),
    "  - send: {channel: email, template: remind, expires: P1D}": (
        'campaigns/nudge.yaml:7: expires: "P1D" is a calendar step, whose length depends on the '
        "date; an exact span is needed here. Write 1d."
    ),
    "  - branch: [{if: {segment: vips}, do: []}]": (
        'campaigns/nudge.yaml:7: there is no segment "vips". Did you mean "vip"?'
    ),
    "  - branch: []": "campaigns/nudge.yaml:7: branch: at least 1 entry is needed here.",
    "  - split: {a: {weight: 0}, b: {weight: 0}}": (
        "campaigns/nudge.yaml:7: every weight is 0, so nobody can take any path. "
        "Give one a weight: 1."
    ),
    "  - split: {a: {weight: 1}, b: {}}": (
        'campaigns/nudge.yaml:7: the path "b" needs a weight: weight: 50.'
    ),
    "  - split: {a: {weight: 0.5}, b: {weight: 1}}": (
        "campaigns/nudge.yaml:7: weight: the weight 0.5 is not a whole number. Weights are parts "
        "of their sum and need not add up to anything: 1 and 1 are halves, 70 and 30 are 70% and "
        "30%."
    ),
    "  - split: {a: {weight: 1}}": (
        "campaigns/nudge.yaml:7: split: at least 2 entries are needed here."
    ),
    "  - update: {traits: {pln: pro}}": (
        'campaigns/nudge.yaml:7: the trait "pln" is not declared in antiphon.yaml. Did you mean '
        '"plan"?'
    ),
    '  - update: {traits: {plan: "{{ profil.plan }}"}}': (
        'campaigns/nudge.yaml:7: plan: "profil" is not a name here. Did you mean "profile"?'
    ),
    '  - update: {traits: {plan: "{{ profile.plan"}}': (
        "campaigns/nudge.yaml:7: plan: this expression cannot be read: unexpected end of "
        "template, expected 'end of print statement'."
    ),
    '  - update: {traits: {plan: "{{ profile.email }}"}}': (
        'campaigns/nudge.yaml:7: plan: the trait "email" is pii; only templates can read it, when '
        "a message is rendered."
    ),
    "  - track: {event: Nudged, properties: {v: \"{{ variant('nope') }}\"}}": (
        'campaigns/nudge.yaml:7: v: there is no experiment "nope".'
    ),
    "  - track: {event: Nudged, properties: {v: {{ now }}}}": (
        'campaigns/nudge.yaml:7: an unquoted "{{" means something else in YAML. Quote the whole '
        'value: "{{ … }}".'
    ),
}


@pytest.mark.parametrize("journey", STEP)
def test_a_slip_in_a_step_is_named_at_its_line(journey: str) -> None:
    assert problems_of({"campaigns/nudge.yaml": campaign(journey=journey)}) == [STEP[journey]]


EXPERIMENT = """\
  - experiment: cart
    variants:
      control: {weight: 1, do: []}
      remind: {weight: 1, do: [send: {channel: email, template: remind}]}
    metrics: {primary: ordered-7d}
"""

EXPERIMENTS = [
    ("primary: ordered-7d", "primary: ordered-7", 11, 'there is no metric "ordered-7". Did you'),
    ("control: {weight: 1,", "control: {", 9, 'the variant "control" needs a weight'),
    (
        "weight: 1",
        "weight: 0",
        7,
        "every weight is 0, so nobody can get any variant. Give two of them weight: 1.",
    ),
    ("control:", "nothing:", 7, 'the experiment "cart" has no variant "control" to compare with.'),
    ("    metrics: {primary: ordered-7d}\n", "", 7, 'the experiment "cart" is judged by nothing.'),
    ("ordered-7d}", "ordered-7d, secondary: ordered-7d}", 11, "is named twice"),
    ("metrics:", "layer: {name: crt}\n    metrics:", 11, 'no layer "crt". Did you mean "cart"?'),
    ("metrics:", "layer: {name: cart, from: 60%, to: 50%}\n    metrics:", 11, "holds nobody"),
    ("metrics:", "coverage: 120%\n    metrics:", 11, "more than everyone"),
    ("metrics:", "coverage: 0%\n    metrics:", 7, "reaches nobody"),
    ("metrics:", "unit: anonymous\n    metrics:", 11, "a journey walks with a profile"),
    ("metrics:", "unit: user_id\n    metrics:", 11, 'Did you mean "user"?'),
    ("metrics:", "unit: traits.email\n    metrics:", 11, "is pii and so cannot be the unit"),
    (
        "metrics:",
        "unit: traits.plam\n    metrics:",
        11,
        "not declared in antiphon.yaml. Did you me",
    ),
    ("metrics:", "hash: 1\n    metrics:", 7, "not independent between experiments"),
    ("metrics:", "hash: md5\n    metrics:", 11, '"md5" is not allowed here'),
    ("metrics:", "forced: {u1: remid}\n    metrics:", 11, 'Did you mean "remind"?'),
    ("metrics:", "requires: {experiment: x, variant: y}\n    metrics:", 11, "to require."),
    ("metrics:", "requires: {experiment: cart, variant: remind}\n    metrics:", 7, "cart -> cart"),
    ("metrics:", "audience: {segment: vpi}\n    metrics:", 11, 'no segment "vpi"'),
    ("metrics:", "winner: remind\n    metrics:", 11, "everybody would get it at once"),
    ("metrics:", "state: stopped\n    winner: remid\n    metrics:", 12, 'winner "remid" is not a'),
    ("metrics:", "where: {plan: pro}\n    metrics:", 11, 'unknown key "where"'),
    (
        "control: {weight: 1,",
        "control: {weight: 1000000,",
        7,
        'use hash version "s256" or a larger weight',
    ),
    ("metrics:", "allocation: bandit\n    metrics:", 11, 'allocation: "bandit" is not allowed'),
    ("metrics:", "allocation: {bandit: {floor: 60%}}\n    metrics:", 11, "below 50%"),
    ("metrics:", "allocation: {bandit: {every: 1s}}\n    metrics:", 11, "less than an hour"),
    (
        "metrics:",
        "allocation: {bandit: {algorithm: ucb}}\n    metrics:",
        11,
        "Allowed: thompson, top_two.",
    ),
    ("metrics:", "analysis: {looks: 5}\n    metrics:", 11, "belong to method: group_sequential"),
    (
        "metrics:",
        "analysis: {method: group_sequential, looks: 5}\n    metrics:",
        11,
        "needs looks and planned_sample",
    ),
    (
        "metrics:",
        "analysis: {runs: 1w, ends: 2026-03-02T09:00Z}\n    metrics:",
        11,
        "the same thing twice",
    ),
    ("metrics:", "analysis: {prior: {sd: 5%}}\n    metrics:", 11, "belongs to method: bayesian"),
    ("metrics:", "analysis: {spending: {power: 0}}\n    metrics:", 11, "is not more than 0"),
    ("metrics:", "analysis: {planned_sample: 1}\n    metrics:", 11, "2 at least"),
    ("metrics:", "analysis: {smallest_lift: 0%}\n    metrics:", 11, "is not above 0"),
    ("metrics:", "analysis: {dimensions: plan}\n    metrics:", 11, "traits.country"),
    (
        "metrics:",
        "analysis: {dimensions: traits.email}\n    metrics:",
        11,
        "cannot be the dimension",
    ),
    (
        "primary: ordered-7d",
        "primary: ordered-7d, guardrails: [{metric: vip, margin: 0%}]",
        11,
        "allows nothing",
    ),
    ("metrics:", "analysis: {alpha: 5}\n    metrics:", 11, "alpha 5 is not between 0 and 0.5"),
    ("metrics:", "analysis: {method: sequental}\n    metrics:", 11, 'Did you mean "sequential"?'),
]


@pytest.mark.parametrize(("old", "new", "line", "says"), EXPERIMENTS)
def test_a_slip_in_an_experiment_is_named_at_its_line(
    old: str, new: str, line: int, says: str
) -> None:
    journey = EXPERIMENT.replace(old, new)

    found = problems_of({"campaigns/nudge.yaml": campaign(journey=journey)})

    assert len(found) == 1, found
    assert found[0].startswith(f"campaigns/nudge.yaml:{line}: ")
    assert says in found[0]


HEADS = [
    ({"trigger": "{event: Product Aded}"}, 3, 'Did you mean "Product Added"?'),
    ({"trigger": "{evnt: Product Added}"}, 3, '"evnt" is not a trigger. Did you mean "event"?'),
    ({"trigger": "{segment: {enter: vpi}}"}, 3, 'there is no segment "vpi". Did you mean "vip"?'),
    ({"trigger": "{segment: {}}"}, 3, "names one change: enter: NAME or exit: NAME"),
    ({"trigger": "{segment: {exit: vip, backfill: current}}"}, 3, "needs enter"),
    ({"trigger": "{schedule: {cron: 0 25 * * *}}"}, 3, "cron: "),
    (
        {
            "trigger": "{schedule: {cron: 0 9 * * mon, audience: vip}}",
            "rest": "audience: {segment: vip}",
        },
        3,
        "the audience stands twice",
    ),
    ({"trigger": "{event: Product Added, key: cart_id}"}, 3, 'Did you mean "properties.cart_id"?'),
    (
        {"trigger": "{event: Product Added, key: properties.cartid}"},
        3,
        'declares no property "cartid". Did you mean "cart_id"?',
    ),
    (
        {"trigger": "{event: Product Added, where: {properties.cart_valu: 3}}"},
        3,
        'declares no property "cart_valu". Did you mean "cart_value"?',
    ),
    (
        {"trigger": "{event: Product Added, where: {properties.cart_value: much}}"},
        3,
        'properties.cart_value: "much" is not a number.',
    ),
    (
        {"trigger": "{event: Product Added, where: {properties.note: x}}"},
        3,
        '"properties.note" is pii: only `exists` can be asked of it.',
    ),
    (
        {"trigger": "{event: Product Added, where: {properties.cart_id.x: 1}}"},
        3,
        "is a string; it has nothing inside.",
    ),
    (
        {"trigger": "{event: Product Added, where: {properties.products.*.prise: 1}}"},
        3,
        'Did you mean "price"?',
    ),
    ({"state": "alive"}, 2, 'state: "alive" is not allowed here. Did you mean "live"?'),
    ({"rest": "priority: 101"}, 5, "the priority 101 is not a whole number from 0 to 100."),
    ({"rest": "holdout: 10"}, 5, '"10" is more than everyone. Write a share from 0% to 100%: 10%'),
    ({"rest": "holdout: 100%"}, 5, "a holdout of 100% keeps everyone silent."),
    ({"rest": "programme: retentoin"}, 5, 'Did you mean "retention"?'),
    ({"rest": "goal: {metric: ordered}"}, 5, 'there is no metric "ordered". Did you mean'),
    ({"rest": "audience: {segment: vap}"}, 5, 'there is no segment "vap". Did you mean "vip"?'),
    ({"rest": "reentry: {when: after_gap}"}, 5, "needs the gap: gap: 7d"),
    ({"rest": "reentry: {gap: 7d}"}, 5, "Write when: after_gap"),
    ({"rest": "reentry: {when: after_gap, gap: P7D}"}, 5, 'Write 1w'),
    ({"rest": "exit_when: {event: Order Cmpleted}"}, 5, 'Did you mean "Order Completed"?'),
    ({"rest": "migrate: {from: v2}"}, 5, '"v2" is no version. Write any, none, or 12 of 0-9 a-f'),
    ({"rest": "migrate: {steps: {a: remnd}}"}, 5, 'which is no step of this journey.'),
    ({"rest": "migrate: {from: none, steps: {a: 0}}"}, 5, "moves nobody, so its steps mean"),
    ({"rest": "jorney: []"}, 5, 'unknown key "jorney". Did you mean "journey"?'),
    ({"rest": "priority: [1]"}, 5, "priority: a list stands here; one value is needed."),
    ({"rest": "exit_when: now"}, 5, 'a mapping of keys is needed here, not "now".'),
    ({"rest": "title: ${env:HOME}"}, 5, "is read only in antiphon.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "line", "says"), HEADS)
def test_a_slip_in_a_campaign_is_named_at_its_line(
    parts: dict[str, str], line: int, says: str
) -> None:
    found = problems_of({"campaigns/nudge.yaml": campaign(**parts)})

    assert len(found) == 1, found
    assert found[0].startswith(f"campaigns/nudge.yaml:{line}: ")
    assert says in found[0]


CONDITIONS = [
    ("{trat: {ltv: 1}}", '"trat" is not a condition. Did you mean "trait"?'),
    ("{}", "this condition says nothing. Allowed: trait, event"),
    ("vip", "a condition is a mapping such as `trait: …`"),
    ("{all: []}", "all: at least 1 entry is needed here."),
    ("{all: {trait: {ltv: 1}}}", "all: a list is needed here, not a mapping."),
    ("{not: [{segment: whales}]}", "a condition is a mapping"),
    ("{sequence: []}", "sequence: at least 2 entries are needed here."),
    ("{event: Order Completed, sum: x}", 'sum: a mapping of keys is needed here, not "x".'),
    ("{event: Order Completed, wthin: 2h}", 'unknown key "wthin". Did you mean "within"?'),
    ("{event: Order Completed, within: P1D}", "an exact span is needed here. Write 1d."),
    ("{event: Order Completed, within: 2h, ever: true}", "within and ever exclude each other."),
    ("{event: Order Completed, since: 2026-01-02, until: 2026-01-01}", "`since` is not before"),
    ("{event: Order Completed, since: lately}", '"lately" is not an instant.'),
    ("{event: Order Completed, count: {gte: -1}}", "count: a count is a whole number from 0"),
    ("{event: Order Completed, count: {gte: 5, lt: 2}}", "count: nothing can match"),
    ("{event: Order Completed, count: {contains: 1}}", "count: contains cannot compare a count"),
    (
        "{event: Product Added, within: 2h, not_followed_by: {event: Order Completed, for: 3h}}",
        "Make `for` shorter than `within`.",
    ),
    ("{session: {duration: {gte: 2m}}}", "a session needs a window"),
    ("{session: {duration: {gte: 2}, within: 2h}}", 'duration: "2" is not a duration.'),
    ("{session: {duration: {gte: 2m}, ever: true}}", "a session needs a window"),
    ("{segment: whale}", "the segment is defined by itself: whale -> whale."),
    ("{segment: whael}", 'there is no segment "whael". Did you mean "whale"?'),
    (
        "{trait: {ltvv: 1}}",
        'the trait "ltvv" is not declared in antiphon.yaml. Did you mean "ltv"?',
    ),
    ("{trait: {plan: {gte: 1}}}", "plan: gte cannot be asked of a string."),
    ("{trait: {email: {contains: '@x.de'}}}", "it allows only is, in, exists, not contains."),
    ("{trait: {email: {ends_with: '@x.de'}}}", "such as email_domain."),
    ("{trait: {phone: {is_not: '1'}}}", 'the trait "phone" is pii'),
    ("{trait: {ltv: {gte: 5, lt: 2}}}", "nothing can match: no value is above 5 and below 2"),
]


@pytest.mark.parametrize(("condition", "says"), CONDITIONS)
def test_a_slip_in_a_condition_is_named_at_its_line(condition: str, says: str) -> None:
    segment = f"segment: whale\ntitle: Big\nwhen: {condition}\n"

    found = problems_of({"segments/whale.yaml": segment})

    assert len(found) == 1, found
    assert found[0].startswith("segments/whale.yaml:3: ")
    assert says in found[0]


def test_a_circle_of_segments_is_named_once() -> None:
    found = problems_of(
        {
            "segments/a.yaml": "segment: a\nwhen: {segment: b}\n",
            "segments/b.yaml": "segment: b\nwhen:\n  all:\n    - {not: {segment: a}}\n",
        }
    )

    assert found == [
        "segments/b.yaml:4: the segment is defined by itself: a -> b -> a. Break the circle."
    ]


SETTINGS_SLIPS = [
    ("consent: {unknown: refuse}\n", "", 1, 'the file needs the key "consent".'),
    ("unknown: refuse", "", 2, '"consent" needs the key "unknown".'),
    ("unknown: refuse", "unknown: no", 2, 'unknown: "no" is not allowed here. Allowed: allow'),
    ("Europe/Berlin", "Berlin", 1, 'zone: "Berlin" is not a time zone.'),
    ("currency: EUR", "currency: Euro", 13, 'currency: "Euro" is not a currency.'),
    ("currency: EUR", "colour: red", 13, 'unknown key "colour". Allowed: '),
    ("currency: EUR", "caps: [{max: 0, per: 7d}]", 13, "max: 0 is too few"),
    ("currency: EUR", "caps: [{max: 1, per: P1M}]", 13, "Write 30d."),
    ("currency: EUR", "caps: [{max: 1, per: 7d, channel: fax}]", 13, 'no kind of channel "fax"'),
    ("currency: EUR", "caps: [{max: 1, per: 7d, topic: orders}]", 13, "is transactional"),
    ("currency: EUR", 'quiet_hours: {from: "09:00", to: "09:00"}', 13, "Delete them."),
    ("currency: EUR", "zones: [trait, ip]", 13, 'zones: "ip" is not allowed here.'),
    ("currency: EUR", "global_holdout: 2", 13, "Write a share from 0% to 100%: 2%."),
    ("currency: EUR", "max_trigger_age: {web: 1h}", 13, 'unknown key "web". Allowed: api, file.'),
    ("sms: {}", "fax: {}", 10, 'the channel "fax" needs its kind'),
    ("sms: {}", "sms: {backup: emial}", 10, 'the backup "emial" is not a channel. Did you mean'),
    ("sms: {}", "sms: {backup: email}", 10, 'the backup "email" is email, not sms.'),
    ("sms: {}", "sms: {backup: sms}", 10, "the backups go round in a circle: sms -> sms."),
    (
        "sms: {}",
        "a: {kind: sms, backup: b}, b: {kind: sms, backup: c}, c: {kind: sms, backup: a}",
        10,
        "the backups go round in a circle: a -> b -> c -> a.",
    ),
    (
        "sms: {}",
        "a: {kind: push, provider: chat, url: x, backup: b}, b: {kind: push}",
        10,
        'of "a" and its backup "b" one writes to a room, one to people.',
    ),
    ("sms: {}", "sms: {domains: {gmail.com: 1/s}}", 10, "only e-mail goes to domains."),
    ("{provider: sandbox}", "{domains: {Gmail: 1/s}}", 10, '"Gmail" is not a domain.'),
    ("{provider: sandbox}", '{domains: {"*": 0/s}}', 10, "lets nothing through"),
    ("sms: {}", "sms: {warm_up: {from: soon, start: 5/d}}", 10, '"soon" is not a day.'),
    ("sms: {}", "sms: {warm_up: {from: 2026-12-01, start: 5/h}}", 10, "write 5/d, not"),
    (
        "sms: {}",
        "sms: {rate: 50/d, warm_up: {from: 2026-12-01, start: 50/d}}",
        10,
        "starts with what the rate lets through, 50 a day.",
    ),
    ("currency: EUR", "limits: {complaints: 2}", 13, "Write a share from 0% to 100%: 2%."),
    ("type: number", "type: numeric", 6, 'type: "numeric" is not allowed here.'),
    ("pii: true", "pii: yes", 5, 'pii: "yes" is not a yes or no. Write true or false.'),
    ("5%", "5%%", 11, 'holdout: "5%%" is not a share. Write 10% or 0.1.'),
]


@pytest.mark.parametrize(("old", "new", "line", "says"), SETTINGS_SLIPS)
def test_a_slip_in_the_settings_is_named_at_its_line(
    old: str, new: str, line: int, says: str
) -> None:
    found = problems_of({"antiphon.yaml": SETTINGS.replace(old, new)})

    assert len(found) == 1, found
    assert found[0].startswith(f"antiphon.yaml:{line}: "), found
    assert says in found[0], found


METRICS = [
    ("within: 7d", "", 1, "within: 14d, or over: period"),
    ("within: 7d", "within: P1M", 3, "Write 30d."),
    ("within: 7d", "within: 7d\nmeasure: sum", 1, "measure: sum needs the value to add up"),
    ("within: 7d", "within: 7d\nmeasure: medain", 4, 'measure: "medain" is not allowed here.'),
    ("within: 7d", "within: 7d\nmeasure: ratio", 1, "measure: ratio needs two metrics"),
    ("within: 7d", "within: 7d\nmeasure: funnel", 1, "measure: funnel needs its steps"),
    ("within: 7d", "within: 7d\nmeasure: retained", 1, "after: 7d and within: 14d"),
    ("within: 7d", "within: 7d\nmeasure: retained\nafter: 7d", 1, "after must end before"),
    ("within: 7d", "within: 7d\nafter: 1d", 1, "no other measure has after"),
    ("within: 7d", "within: 7d\nmeasure: last", 1, "measure: last needs a value to read"),
    ("within: 7d", "within: 7d\nmeasure: quantile", 1, "quantile: p50 is the median"),
    ("within: 7d", "within: 7d\nquantile: p50", 1, "quantile: p50 is the median"),
    ("within: 7d", "within: 7d\nratio: {of: a, to: b}", 1, "ratio belongs to measure: ratio"),
    ("event: Order Completed\n", "", 1, "a metric counts events: event: Order Completed"),
    ("within: 7d", "within: 7d\nvalue: properties.revenue", 1, "measure: happened reads no value"),
    ("within: 7d", "within: 7d\nmeasure: sum\nvalue: properties.zip", 5, "a number is needed"),
    ("within: 7d", "within: 7d\nmeasure: sum\nvalue: revenue", 5, '"properties.revenue"?'),
    ("within: 7d", "within: 7d\ncurrency: USD", 4, "the workspace counts in EUR."),
    ("within: 7d", "within: 7d\nwinsorize: 99", 4, "is not a quantile"),
    ("within: 7d", "within: 7d\nwinsorize: p99", 1, "winsorize means nothing"),
    ("within: 7d", "within: 7d\nbetter: up", 4, "Allowed: higher, lower."),
    ("within: 7d", "within: 7d\nsource: sql", 4, "source: a mapping of keys is needed here"),
    ("Order Completed", "Order Complete", 2, 'Did you mean "Order Completed"?'),
]


@pytest.mark.parametrize(("old", "new", "line", "says"), METRICS)
def test_a_slip_in_a_metric_is_named_at_its_line(old: str, new: str, line: int, says: str) -> None:
    found = problems_of({"metrics/ordered.yaml": METRIC.replace(old, new)})

    assert len(found) == 1, found
    assert found[0].startswith(f"metrics/ordered.yaml:{line}: "), found
    assert says in found[0], found


TEST = """\
test: a cart is remembered
given:
  profile: {id: u1, consent: {email: {offers: true}}}
  events:
    - {at: 2026-03-02T09:00Z, event: Product Added, properties: {cart_id: c1}}
force: {holdout: out}
expect:
  - {at: 2026-03-02T09:30Z, send: {channel: email, template: remind}}
  - nothing_until: 2026-03-09T00:00Z
"""

TESTS = [
    ("{cart_id: c1}", "{cart: c1, cart_id: c1}", 5, 'declares no property "cart".'),
    ("{cart_id: c1}", "{}", 5, 'the event "Product Added" needs the property "cart_id".'),
    ("09:00Z, event", "09:00, event", 5, "has no zone"),
    ("Product Added", "Product Aded", 5, 'Did you mean "Product Added"?'),
    (
        "email: {offers",
        "mail: {offers",
        3,
        'there is no kind of channel "mail". Did you mean "email"?',
    ),
    ("offers: true", "offer: true", 3, 'there is no topic "offer". Did you mean "offers"?'),
    ("holdout: out", "holdout: yes", 6, 'holdout is in or out, not "yes".'),
    ("holdout: out", "cart-nudge: control", 6, 'there is no experiment "cart-nudge".'),
    ("template: remind", "template: remnd", 8, 'Did you mean "remind"?'),
    ("nothing_until", "nothing_til", 9, 'is not an expectation. Did you mean "nothing_until"?'),
    ("  - nothing_until", "  - not: 1\n  - nothing_until", 9, '"not" is not an expectation.'),
]


@pytest.mark.parametrize(("old", "new", "line", "says"), TESTS)
def test_a_slip_in_a_test_is_named_at_its_line(old: str, new: str, line: int, says: str) -> None:
    assert problems_of({"tests/cart.yaml": TEST}) == []

    found = problems_of({"tests/cart.yaml": TEST.replace(old, new, 1)})

    assert len(found) == 1, found
    assert found[0].startswith(f"tests/cart.yaml:{line}: "), found
    assert says in found[0], found


WORKSPACES: list[tuple[dict[str, str | None], str]] = [
    ({"antiphon.yaml": None}, "antiphon.yaml: the file is missing."),
    (
        {"campaigns/other.yaml": CAMPAIGN},
        'campaigns/other.yaml:1: the campaign "nudge" is already declared at '
        "campaigns/nudge.yaml:1. Names are unique; rename one.",
    ),
    (
        {"campaigns/vip.yaml": SEGMENT.replace("vip", "vip2")},
        "campaigns/vip.yaml:1: this file declares a segment; move it to segments/.",
    ),
    (
        {"templates/email/remind.json": "{}"},
        "templates/email/remind.json: this is not the name of a template. Allowed: .mjml, .html, "
        ".txt for email.",
    ),
    (
        {"templates/remind.html": "x"},
        "templates/remind.html: this is not the name of a template. Allowed: "
        "templates/<channel>/[_partials/ | _layouts/]<name>[.<locale>].<ext>.",
    ),
    (
        {"events/added.yaml": EVENTS["events/added.yaml"] + "pii: true\n"},
        'events/added.yaml:7: unknown key "pii". Allowed: description, event, properties, title.',
    ),
    (
        {"campaigns/nudge.yaml": CAMPAIGN.replace("topic: offers\n", "")},
        "campaigns/nudge.yaml:6: this message has no topic, and so no consent to ask for. Name one "
        "of antiphon.yaml for the campaign: topic: offers.",
    ),
]


@pytest.mark.parametrize(("changed", "says"), WORKSPACES)
def test_a_slip_across_files_is_named(changed: dict[str, str | None], says: str) -> None:
    assert problems_of(changed) == [says]


def test_every_problem_is_found_at_once_and_in_order() -> None:
    found = problems_of(
        {
            "campaigns/nudge.yaml": campaign(
                rest="priority: high", journey="  - delay: soon\n  - wait_for: {event: X}"
            ),
            "segments/vip.yaml": "segment: vip\nwhen: {segment: nobody}\n",
            "antiphon.yaml": SETTINGS.replace("ltv: {type: number}", "ltv: {type: numbr}"),
        }
    )

    assert [line.split(": ")[0] for line in found] == [
        "antiphon.yaml:6",
        "campaigns/nudge.yaml:5",
        "campaigns/nudge.yaml:7",
        "campaigns/nudge.yaml:8",
    ]


def test_a_file_with_a_slip_does_not_make_its_name_unknown_elsewhere() -> None:
    found = problems_of(
        {
            "segments/vip.yaml": "segment: vip\nwhen: {trait: {ltv: many, oops: 1}}\nx: 1\n",
            "campaigns/nudge.yaml": CAMPAIGN + "audience: {segment: vip}\n",
        }
    )

    assert found == [
        'segments/vip.yaml:3: unknown key "x". Allowed: description, segment, title, when.'
    ]


def test_two_experiments_of_a_layer_may_not_share_units() -> None:
    def placed(name: str, to: str) -> str:
        journey = EXPERIMENT.replace("cart", name, 1).replace(
            "    metrics", f"    layer: {{name: cart, from: 40%, to: {to}}}\n    metrics"
        )
        return campaign(journey=journey).replace("nudge", f"c-{name}", 1)

    found = problems_of(
        {"campaigns/a.yaml": placed("a", "70%"), "campaigns/b.yaml": placed("b", "1")}
    )

    assert found == [
        'campaigns/b.yaml:7: "b" (40% to 100%) overlaps "a" (40% to 70%) in the layer "cart". '
        "Move one."
    ]


def test_an_experiment_runs_at_one_step_only() -> None:
    twice = campaign(journey=EXPERIMENT + EXPERIMENT)

    found = problems_of({"campaigns/nudge.yaml": twice})

    assert found == [
        'campaigns/nudge.yaml:12: the experiment "cart" already runs at campaigns/nudge.yaml:7. '
        "One experiment is one step; rename one."
    ]


def test_an_arm_that_waits_before_it_sends_is_worth_a_notice() -> None:
    journey = EXPERIMENT.replace("do: [send", "do: [{delay: 1h, id: w}, send")

    workspace = load_bundle(files({"campaigns/nudge.yaml": campaign(journey=journey)}), environ={})

    assert [str(notice) for notice in workspace.notices] == [
        'campaigns/nudge.yaml:10: the arm "remind" waits before its first message, so only '
        "intention-to-treat is offered: everyone assigned is analysed, also whom no message could "
        "reach."
    ]


def test_a_draft_may_leave_its_waits_unnamed() -> None:
    assert (
        problems_of({"campaigns/nudge.yaml": campaign(state="draft", journey="  - delay: 1h")})
        == []
    )


def test_the_error_carries_what_check_prints_as_json() -> None:
    with pytest.raises(InvalidWorkspace) as refusal:
        load_bundle(files({"segments/vip.yaml": "segment: vip\nwhen: {segment: vpi}"}), environ={})

    (problem,) = refusal.value.problems
    assert (problem.file, problem.line, problem.found) == ("segments/vip.yaml", 2, "vpi")
    assert "Did you mean" in problem.message
