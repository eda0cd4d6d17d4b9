"""What `check` says of a schedule that cannot be kept: the line, what was found, what to write."""

import pytest

from tests.campaigns.build import SETTINGS, problems_of

LINE = SETTINGS.count("\n") + 2
"""Of the first schedule."""

SLIPS = {
    'a: {run: retention, cron: "0 9 * * 1"}': (
        'the schedule "a": cron "0 9 * * 1": the weekdays "1" are numbers, which engines read '
        "differently. Write mon."
    ),
    'a: {run: retention, cron: "0 9 30 2 *"}': (
        'the schedule "a": cron "0 9 30 2 *" never fires: no month it names has such a day.'
    ),
    'a: {run: retention, cron: "0 9 * * mon", zone: Mars/Base}': (
        'zone: "Mars/Base" is not a time zone. Write an IANA name: Europe/Berlin.'
    ),
    "a: {run: retention, every: 0m}": ('every: "0m" is no time at all; a duration is above zero.'),
    "a: {run: retention, every: 5s}": (
        'the schedule "a": an interval is at least a minute: a schedule starts batch work. '
        "Write 1m."
    ),
    "a: {run: retenton, every: 10m}": (
        'run: "retenton" is not allowed here. Did you mean "retention"?'
    ),
    "a: {every: 10m}": (
        'the schedule "a" does not say what it should run. Allowed: bandit-updates, broadcast, '
        "experiment-reports, retention, segment-backfill."
    ),
    "a: {run: retention}": ('the schedule "a" does not say when: write one of cron, every, rrule.'),
    'a: {run: retention, every: 10m, cron: "0 9 * * mon"}': (
        "a: cron and every both say when; keep one."
    ),
    'a: {run: retention, rrule: "FREQ=DAILY"}': (
        "a: an rrule needs its start: start: 2026-03-02T09:00:00+01:00."
    ),
    'a: {run: retention, rrule: "FREQ=HOURLY", start: 2026-03-02T09:00:00Z}': (
        'the schedule "a": rrule "FREQ=HOURLY": FREQ is one of DAILY, WEEKLY, MONTHLY, YEARLY; '
        "for less than a day write every: 2h, or BYHOUR=9,12,15."
    ),
    'a: {run: retention, cron: "0 9 * * mon", start: 2026-03-02T09:00:00Z}': (
        "a: start belongs to every or rrule; a cron line says all by itself."
    ),
    "a: {run: retention, every: 1h, zone: UTC}": (
        "a: every counts exact time, whatever the zone. Delete zone."
    ),
    "retention: {run: broadcast}": (
        '"retention" is a schedule of our own and runs itself. Call this one otherwise.'
    ),
    "a: {run: retention, every: 1d, campaign: nudge}": (
        "campaign belongs to run: broadcast. Delete it, or write that."
    ),
    "a: {run: broadcast, every: 1d, audience: vip}": (
        'the broadcast "a" does not name its campaign: campaign: NAME.'
    ),
    "a: {run: broadcast, every: 1d, audience: vip, campaign: nudge}": (
        'a broadcast starts the campaign "nudge" as the API does. Write there trigger: {api: true}.'
    ),
}


@pytest.mark.parametrize("written", SLIPS)
def test_a_slip_in_a_schedule_is_named_at_its_line(written: str) -> None:
    found = problems_of({"antiphon.yaml": f"{SETTINGS}schedules:\n  {written}\n"})

    assert found == [f"antiphon.yaml:{LINE}: {SLIPS[written]}"]


def test_two_schedules_of_one_name_are_refused_with_both_lines() -> None:
    twice = "schedules:\n  a: {run: retention, every: 1h}\n  a: {run: retention, every: 2h}\n"

    (found,) = problems_of({"antiphon.yaml": SETTINGS + twice})

    assert found == (
        f'antiphon.yaml:{LINE + 1}: the key "a" stands twice; it is already on line {LINE}. '
        "Keep one."
    )


def test_every_broken_schedule_is_told_at_once() -> None:
    broken = "schedules:\n  a: {run: broadcast, every: 1d, campaign: nudg, audience: vipp}\n"

    assert problems_of({"antiphon.yaml": SETTINGS + broken}) == [
        f'antiphon.yaml:{LINE}: there is no campaign "nudg". Did you mean "nudge"?',
        f'antiphon.yaml:{LINE}: there is no segment "vipp". Did you mean "vip"?',
    ]


def test_times_of_ours_may_be_changed_and_others_added() -> None:
    written = """schedules:
  bandit-updates: {every: 10m}
  experiment-reports: {cron: "0 7 * * mon-fri", zone: Europe/Berlin, grace: 4h}
  retention: {paused: true}
  month-end: {run: experiment-reports, rrule: "FREQ=MONTHLY;BYMONTHDAY=-1",
    start: 2026-01-01T09:00:00+01:00}
"""

    assert problems_of({"antiphon.yaml": SETTINGS + written}) == []
