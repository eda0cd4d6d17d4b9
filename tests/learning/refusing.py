"""A shop whose segments, branches and hours read scores, for who refuses to be profiled."""

from typing import Any

from engine.scores import publish
from engine.segment_preview import preview
from tests.engine.publishing import CART, FILES, SETTINGS, Published

JOURNEY = """journey:
  - best_time: {within: 24h, model: their-hour}
    id: hour
  - branch:
      - if: {score: {model: churn, value: {gte: 0.5}}}
        do: [{send: {channel: email, template: soft}, id: at-risk}]
    id: by-risk
"""
SHOP = {
    **FILES,
    "segments/risky.yaml": "segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n",
    "segments/safe.yaml": (
        "segment: safe\nwhen: {not: {score: {model: churn, value: {gte: 0.5}}}}\n"
    ),
    "segments/loyal.yaml": "segment: loyal\nwhen: {cluster: {model: kinds, is: loyal}}\n",
    "models/hour.yaml": "send_time: their-hour\nexplore: 1%\n",
    "campaigns/cart.yaml": CART.split("journey:")[0] + JOURNEY,
}
STRICT = {
    **SHOP,
    "antiphon.yaml": SETTINGS + "learning: {profiling: {unknown: refuse}}\n",
}
N_PEOPLE = 4


def a_shop(url: str) -> Published:
    opened = Published(url)
    opened.apply(SHOP)
    for number in range(1, N_PEOPLE + 1):
        opened.identify(f"u{number}")
    opened.settle()
    return opened


def published(
    stage: Published, model: str = "churn", value: tuple[float, str] = (0.9, ""), *people: int
) -> Any:
    return publish(
        stage.process.database,
        dict.fromkeys(people or range(1, N_PEOPLE + 1), value),
        model=model,
        kind="score",
        program=stage.process.playbook.program,
        write=stage.process.write,
        now=stage.now,
    )


def inside(stage: Published, segment: str) -> set[int]:
    rows = stage.rows("SELECT profile_id FROM membership WHERE segment = ?", segment)
    return {row[0] for row in rows}


def scored(stage: Published) -> set[int]:
    return {row[0] for row in stage.rows("SELECT profile_id FROM model_score")}


def asked(stage: Published, segment: str) -> set[str]:
    """By the statement that previews a segment."""
    playbook = stage.process.playbook
    with stage.process.database.read() as connection:
        found = preview(
            connection, segment, program=playbook.program, segments=playbook.segments,
            at=stage.now, days=1, present=stage.now,
        )  # fmt: skip
    return {it.profile for it in found.members}
