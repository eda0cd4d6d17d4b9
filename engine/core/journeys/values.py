"""What a step writes, computed: expressions evaluated as of now, or a reason why they cannot be.

Read next: `steps`, `webhooks`.
"""

from collections.abc import Mapping
from typing import Any

from engine.core.journeys.sends import context_of, discard
from engine.core.model.campaigns import Campaign
from engine.core.model.people import Enrollment
from engine.core.model.steps import Expression, Value
from engine.core.scene import Scene


def values_or_discard(
    scene: Scene,
    enrollment: Enrollment,
    campaign: Campaign,
    values: Mapping[str, Value],
    even_in_holdout: bool,
) -> dict[str, Any] | None:
    """The values, computed; or None after leaving a row that says why there are none."""
    if enrollment.is_held_out and not even_in_holdout:
        discard(scene, enrollment, "holdout")
        return None
    traits, hidden = scene.person.profile.traits, scene.program.pii_traits
    context = {
        **context_of(scene, enrollment, campaign),
        "profile": {name: value for name, value in traits.items() if name not in hidden},
    }
    try:
        return {name: _computed(scene, value, context) for name, value in values.items()}
    except LookupError as missing:
        discard(scene, enrollment, f"missing value: {missing.args[0] if missing.args else '?'}")
        return None


def _computed(scene: Scene, value: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(value, Expression):
        return scene.evaluate(value, context)
    if isinstance(value, dict):
        return {key: _computed(scene, each, context) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_computed(scene, each, context) for each in value]
    return value
