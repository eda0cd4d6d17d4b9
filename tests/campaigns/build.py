"""Small builders: a workspace of a few files, and what is wrong with one."""

from collections.abc import Mapping
from textwrap import dedent

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from campaigns.workspace import Workspace

SETTINGS = """\
zone: Europe/Berlin
consent: {unknown: refuse}
topics: {offers: {title: Offers}, orders: {transactional: true}}
traits:
  email: {type: email, pii: true}
  ltv: {type: number}
  plan: {type: string}
  vip: {type: boolean}
  birthday: {type: date}
channels: {email: {provider: sandbox}, sms: {}}
programmes: {retention: {holdout: 5%}}
layers: {cart: {}}
currency: EUR
"""

EVENTS = {
    "events/added.yaml": """\
event: Product Added
properties:
  cart_id: {type: string, required: true}
  cart_value: {type: number}
  note: {type: string, pii: true}
  products: {type: list, properties: {price: {type: number}}}
""",
    "events/completed.yaml": """\
event: Order Completed
properties: {revenue: {type: number}, zip: {type: string}}
""",
}

METRIC = """\
metric: ordered-7d
event: Order Completed
within: 7d
"""

SEGMENT = """\
segment: vip
when: {trait: {ltv: {gte: 1000}}}
"""

CAMPAIGN = """\
campaign: nudge
trigger: {event: Product Added}
topic: offers
journey:
  - delay: 30m
    id: settle
  - send: {channel: email, template: remind}
    id: remind
"""

TEMPLATES = {
    "templates/email/remind.html": "---\nsubject: Hello\n---\n<p>Hello</p>",
    "templates/email/code.html": "---\nsubject: Code\n---\n<p>Code</p>",
    "templates/sms/code.txt": "Code",
}


def files(changed: Mapping[str, str | None] | None = None) -> dict[str, bytes]:
    """The files of a small shop; `changed` replaces files, adds them, or (None) takes them away."""
    shop: dict[str, str | None] = {
        "antiphon.yaml": SETTINGS,
        **EVENTS,
        "metrics/ordered.yaml": METRIC,
        "segments/vip.yaml": SEGMENT,
        "campaigns/nudge.yaml": CAMPAIGN,
        **TEMPLATES,
        **(changed or {}),
    }
    return {path: dedent(text).encode() for path, text in shop.items() if text is not None}


def a_workspace(changed: Mapping[str, str | None] | None = None) -> Workspace:
    return load_bundle(files(changed), environ={})


def problems_of(
    changed: Mapping[str, str | None], environ: Mapping[str, str] | None = None
) -> list[str]:
    """What is wrong with the small shop once these files are changed, one line each."""
    try:
        load_bundle(files(changed), environ={} if environ is None else environ)
    except InvalidWorkspace as error:
        return [str(problem) for problem in error.problems]
    return []
