"""What tests/*.yaml let models say, checked: models that are there, and all that is compared.

A prediction of which only the value is given has no percentile. Where a condition asks for it, the
test is refused, or the condition would be false for a reason that nobody wrote.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from campaigns.conditions import Conditions
from campaigns.forms import Form
from campaigns.model_forms import ClusterFile, ScoreFile, SendTimeFile
from campaigns.model_mentions import asking_models, check_named
from campaigns.models import RFM_CELLS
from campaigns.person_forms import ScoreForm
from campaigns.problems import advice
from campaigns.reading import Map, Text
from campaigns.recommender_forms import RecommenderFile
from campaigns.trial_forms import GivenCluster, GivenScore, TestFile
from campaigns.workspace import Workspace

_WHOLE: Final = {
    "score": "{value: 0.8, percentile: 95}",
    "cluster": "{is: NAME, confidence: 0.9}",
}
"""How a whole answer is written."""


class _Compared(NamedTuple):
    """Something of a model's answer that a condition compares, and the file that does."""

    model: str
    what: str
    file: str


def check_given_models(conditions: Conditions, test: TestFile) -> None:
    """Report answers of a test that no model could give, and those that are given in part."""
    given = test.given
    asked = {
        "score": _compared(conditions.workspace, is_score=True),
        "cluster": _compared(conditions.workspace, is_score=False),
    }
    for word, answers in (("score", given.scores), ("cluster", given.clusters)):
        _check_answers(conditions, test.file, word, answers, asked[word])
    for name in given.best_hours:
        check_named(conditions, test.file, SendTimeFile.KIND, name)
    for name, items in given.picks.items():
        check_named(conditions, test.file, RecommenderFile.KIND, name)
        for item in items:
            is_row = isinstance(item, Map) and item.get("id") not in (None, "")
            if not is_row and not (isinstance(item, Text) and item):
                message = (
                    "a pick is the id of an item, or a row that has one: {id: tea, title: Tea}."
                )
                line = getattr(item, "line", name.line)
                conditions.report(test.file, line, str(name), message)


def _check_answers(
    conditions: Conditions,
    file: str,
    word: str,
    answers: Mapping[Text, Form],
    asked: list[_Compared],
) -> None:
    for name, answer in answers.items():
        _check_possible(conditions, file, name, answer)
        if name not in {it.model for it in asked}:
            hint = advice(name, sorted({it.model for it in asked}))
            message = f'no segment and no branch asks the {word} "{name}".{hint}'
            conditions.report(file, name.line, str(name), message)
        for it in asked:
            if it.model == name and getattr(answer, it.what) is None:
                known = {
                    "score": "value: 0.8, percentile: 95",
                    "cluster": "is: NAME, confidence: 1",
                }
                message = (
                    f'{it.file} compares the {it.what} of "{name}", and the test gives none. '
                    f"Write {name}: {{{known[word]}}}."
                )
                conditions.report(file, name.line, str(name), message)
                break


def _check_possible(conditions: Conditions, file: str, name: Text, answer: Form) -> None:
    """Report what the model, as its file declares it, never answers."""
    form = conditions.workspace.models.get(str(name))
    if isinstance(answer, GivenCluster) and isinstance(form, ClusterFile):
        if form.algorithm == "rfm" and answer.is_ not in RFM_CELLS:
            line = getattr(answer.is_, "line", name.line)
            message = (
                f'"{name}" is of algorithm rfm ({form.file}), which knows no "{answer.is_}".'
                f"{advice(answer.is_, RFM_CELLS)}"
            )
            conditions.report(file, line, str(name), message)
    elif isinstance(answer, GivenScore) and isinstance(form, ScoreFile):
        is_chance = form.target.not_ is not None or not form.target.is_amount
        if is_chance and answer.value is not None and not 0 <= answer.value <= 1:
            message = (
                f'"{name}" foretells a chance ({form.file}), and {answer.value:g} is none. '
                "Write a number from 0 to 1: 0.8."
            )
            conditions.report(file, name.line, str(name), message)


def _compared(workspace: Workspace, *, is_score: bool) -> list[_Compared]:
    """What conditions compare of the answers of models of a kind."""
    found = []
    for asking, file in asking_models(workspace):
        if isinstance(asking, ScoreForm) is not is_score:
            continue
        facts = asking.score if isinstance(asking, ScoreForm) else asking.cluster
        words = ("value", "percentile") if is_score else ("is_", "confidence")
        found += [
            _Compared(str(facts.model), what, file)
            for what in words
            if getattr(facts, what) is not None
        ]
    return found
