"""Values that steps compute, as written -> as the core evaluates them; what they read is checked.

An expression may read the profile (no pii), what the trigger brings, the campaign, the variant, and
the answers that webhooks and recommenders of the same campaign have saved.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from campaigns.conditions import Conditions
from campaigns.expressions import ROOTS, compile_value, expressions_in, variants_read
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.saved_answers import saved_in
from campaigns.schema import CampaignFile
from campaigns.trigger_values import Brought, brought_by
from engine.core.model.steps import Value

RESERVED: Final = frozenset(
    {*ROOTS, "variants", "unsubscribe_url", "preferences_url", "confirm_url", "link", "loop",
     "t", "locale", "zone", "currency"}
)  # fmt: skip
"""Names that mean something else in expressions and templates."""


class StepValues:
    """Compiles the values of one campaign's steps; reports to the conditions' problems."""

    def __init__(self, conditions: Conditions, form: CampaignFile) -> None:
        self.conditions = conditions
        self.file = form.file
        self.brought: Brought | None = brought_by(form.trigger, conditions.workspace)
        self.saved = frozenset(saved_in(form.journey))

    def compile(
        self, trees: Mapping[Text, object], *, known_traits: bool = False
    ) -> dict[str, Value]:
        """The values by name; those that are wrong are reported and left out."""
        values: dict[str, Value] = {}
        declared = self.conditions.traits
        for name, tree in trees.items():
            if known_traits and declared and name not in declared:
                hint = advice(name, declared)
                self._report(
                    name, str(name), f'the trait "{name}" is not declared in antiphon.yaml.{hint}'
                )
            try:
                value = compile_value(tree, saved=self.saved)
                for expression in expressions_in(value):
                    self._check_reads(name, expression.reads)
                    self._check_variants(name, expression.source)
            except ValueError as error:
                self._report(name, str(name), f"{name}: {error}")
                continue
            values[str(name)] = value
        return values

    def _report(self, name: Text, found: str, message: str) -> None:
        self.conditions.report(self.file, name.line, found, message)

    def _check_reads(self, name: Text, reads: Sequence[str]) -> None:
        for path in reads:
            root, _, rest = path.partition(".")
            if root == "profile":
                self._check_trait(name, path, rest)
            elif root == "event" and self.brought is not None:
                why = self.brought.lacks(rest)
                if why:
                    self._report(name, path, f"{name}: {path} is never there: {why}")

    def _check_trait(self, name: Text, path: str, trait: str) -> None:
        top = trait.split(".")[0]
        if top in self.conditions.pii:
            self._report(
                name,
                path,
                f'{name}: the trait "{top}" is pii; only templates can read it, when a '
                "message is rendered.",
            )
        elif self.conditions.traits and not any(
            trait == known or trait.startswith(f"{known}.") or known.startswith(f"{trait}.")
            for known in self.conditions.traits
        ):
            hint = advice(top, self.conditions.traits)
            self._report(
                name, path, f'{name}: the trait "{top}" is not declared in antiphon.yaml.{hint}'
            )

    def _check_variants(self, name: Text, source: str) -> None:
        known = self.conditions.names["experiments"]
        for experiment in variants_read(source):
            if experiment not in known:
                hint = advice(experiment, known)
                self._report(
                    name, experiment, f'{name}: there is no experiment "{experiment}".{hint}'
                )
