"""Seconds to load, check and compile a workspace of 200 campaigns. Promised: under 2.

Run: python -m benchmarks.check [CAMPAIGNS]
"""

import platform
import sys
from time import perf_counter

from campaigns.compile import compile_workspace
from campaigns.load import load_bundle
from engine.core.model.campaigns import TemplateFacts
from engine.release.checking import check_providers

SECONDS_MAX = 2.0

SETTINGS = """\
zone: Europe/Berlin
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}, ltv: {type: number}, plan: {type: string}}
channels: {email: {}, sms: {}, push: {}}
quiet_hours: {from: "21:00", to: "09:00"}
caps: [{channel: email, max: 3, per: 7d}]
programmes: {retention: {holdout: 5%}}
currency: EUR
"""

CAMPAIGN = """\
campaign: campaign-{n}
title: Campaign number {n}
programme: retention
trigger:
  event: Product Added
  where: {{properties.cart_value: {{gte: {n}}}, context.device.type: mobile}}
  key: properties.cart_id
audience: {{segment: segment-{n}}}
reentry: {{when: after_gap, gap: 7d}}
holdout: 10%
exit_when: {{event: Order Completed}}
goal: {{metric: metric-{n}}}
topic: offers
journey:
  - delay: 30m
    id: settle
  - wait_for: {{event: Order Completed, counting_from: entry, timeout: 24h}}
    id: bought
    then: [exit: true]
  - delay_until: {{at: "09:00", days: [mon, tue, wed, thu, fri], zone: profile}}
    id: morning
  - branch:
      - if: {{all: [{{segment: segment-{n}}}, {{trait: {{ltv: {{gte: 100}}}}}}]}}
        do:
          - send: {{channel: push, template: template-{n}, expires: 6h}}
    else:
      - send: {{channel: sms, template: template-{n}}}
  - experiment: experiment-{n}
    variants:
      control: {{weight: 1, do: []}}
      letter: {{weight: 1, do: [{{send: {{channel: email, template: template-{n}}}}}]}}
      text: {{weight: 1, do: [{{send: {{channel: sms, template: template-{n}}}}}]}}
    metrics: {{primary: metric-{n}}}
    analysis: {{method: sequential, alpha: 0.05}}
  - update: {{traits: {{plan: "{{{{ profile.plan }}}}-{n}"}}}}
  - track: {{event: Nudged {n}, properties: {{v: "{{{{ variant('experiment-{n}') }}}}"}}}}
"""

SEGMENT = """\
segment: segment-{n}
when:
  all:
    - event: Product Added
      where: {{properties.cart_value: {{gte: {n}}}}}
      count: {{gte: 2}}
      within: 2h
    - session: {{duration: {{gte: 2m}}, within: 2h}}
    - none:
        - {{event: Order Completed, within: 30d}}
        - {{trait: {{plan: [free, trial]}}}}
"""

METRIC = """\
metric: metric-{n}
event: Order Completed
measure: sum
value: properties.revenue
within: 7d
winsorize: p99
covariate: 30d
"""

EVENTS = {
    "events/added.yaml": "event: Product Added\nproperties: {cart_id: {type: string}, "
    "cart_value: {type: number}}\n",
    "events/completed.yaml": "event: Order Completed\nproperties: {revenue: {type: number}}\n",
}


def generated(n_campaigns: int) -> dict[str, bytes]:
    """The files of a workspace with this many campaigns, each with all that one may have."""
    files = {"antiphon.yaml": SETTINGS, **EVENTS}
    for n in range(n_campaigns):
        files[f"campaigns/{n}.yaml"] = CAMPAIGN.format(n=n)
        files[f"segments/{n}.yaml"] = SEGMENT.format(n=n)
        files[f"metrics/{n}.yaml"] = METRIC.format(n=n)
        files[f"templates/email/template-{n}.html"] = f"---\nsubject: {n}\n---\n<p>Hello {n}</p>"
        files[f"templates/sms/template-{n}.txt"] = f"Hello {n}"
        files[f"templates/push/template-{n}.txt"] = f"---\ntitle: {n}\n---\nHello {n}"
    return {path: text.encode() for path, text in files.items()}


def measure(n_campaigns: int) -> tuple[float, float]:
    """Seconds to load and check, and to compile."""
    files = generated(n_campaigns)
    started = perf_counter()
    workspace = load_bundle(files, environ={})
    check_providers(workspace, {})
    loaded = perf_counter()
    facts = {key: TemplateFacts("") for key in workspace.templates}
    program = compile_workspace(
        workspace, release=1, phases={}, templates=facts, blind=lambda *_: "blind:"
    )
    compiled = perf_counter()
    assert len(program.campaigns) == n_campaigns
    return loaded - started, compiled - loaded


def main(arguments: list[str]) -> int:
    n_campaigns = int(arguments[0]) if arguments else 200
    load_seconds, compile_seconds = measure(n_campaigns)
    total = load_seconds + compile_seconds
    print(
        f"{n_campaigns} campaigns: {load_seconds:.2f} s to load and check, "
        f"{compile_seconds:.2f} s to compile, {total:.2f} s in all "
        f"({platform.machine()}, Python {platform.python_version()})"
    )
    return 0 if n_campaigns != 200 or total < SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
