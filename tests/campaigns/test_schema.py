"""The JSON Schema is the language's: it ships, it validates, and every key is documented."""

import argparse
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import campaigns
from campaigns import (
    analysis_forms,
    condition_forms,
    event_forms,
    experiment_forms,
    learning_forms,
    model_forms,
    person_forms,
    recommender_forms,
    refresh_forms,
    schema,
    settings_forms,
    step_forms,
)
from campaigns.comparisons import OPERATORS, TYPES
from campaigns.declarations import OUR_EVENTS
from campaigns.forms import Form
from campaigns.reading import plain, read_yaml
from campaigns.schema import json_schema
from engine.commands import schema as command
from tests.campaigns.build import files

ROOT = Path(campaigns.__file__).parents[1]
GUIDE = ROOT / "docs" / "language.md"
GUIDE_TO_MODELS = ROOT / "docs" / "models.md"
EXAMPLES = ROOT / "campaigns" / "examples"


def _forms() -> list[type[Form]]:
    found: set[type[Form]] = set()
    modules = (
        condition_forms, event_forms, person_forms, analysis_forms, experiment_forms, step_forms,
        settings_forms, schema, learning_forms, model_forms, recommender_forms, refresh_forms,
    )  # fmt: skip
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Form) and value.model_fields:
                found.add(value)
    return sorted(found, key=lambda form: form.__name__)


@pytest.mark.parametrize("form", _forms(), ids=lambda form: form.__name__)
def test_every_key_of_the_language_is_documented(form: type[Form]) -> None:
    guides = GUIDE.read_text("utf-8") + GUIDE_TO_MODELS.read_text("utf-8")
    documented = set(re.findall(r"`([^`\n]+)`", guides))

    keys = {field.alias or name for name, field in form.model_fields.items()}

    assert keys - documented == set()


def test_every_operator_type_and_event_of_ours_is_documented() -> None:
    documented = set(re.findall(r"`([^`\n]+)`", GUIDE.read_text("utf-8")))

    assert {*OPERATORS, *TYPES, *OUR_EVENTS} - documented == set()


def test_what_is_not_available_yet_is_documented_as_such() -> None:
    later = GUIDE.read_text("utf-8").split("## Not in this version")[1]
    words = (
        *step_forms.LATER_STEPS,
        *schema.LATER_TRIGGERS,
    )

    assert [word for word in words if f"`{word}`" not in later] == []


@pytest.mark.parametrize(("guide", "least"), [(GUIDE, 8), (GUIDE_TO_MODELS, 8)])
def test_every_yaml_block_of_the_guide_is_yaml_that_we_read(guide: Path, least: int) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", guide.read_text("utf-8"), re.S)

    assert len(blocks) >= least
    for block in blocks:
        read_yaml(f"docs/{guide.name}", block.encode())


@pytest.mark.parametrize("name", ["shop", "starter"])
def test_the_schema_shipped_with_an_example_is_the_languages(name: str) -> None:
    shipped = json.loads((EXAMPLES / name / "schema.json").read_text("utf-8"))

    assert shipped == json_schema(), "run: antiphon schema > campaigns/examples/NAME/schema.json"


def test_the_schema_accepts_the_examples() -> None:
    Draft202012Validator.check_schema(json_schema())
    validator = Draft202012Validator(json_schema())

    paths = [path for path in EXAMPLES.rglob("*.yaml") if "templates" not in path.parts]

    assert len(paths) > 20
    for path in paths:
        data = plain(read_yaml(path.name, path.read_bytes()))
        assert list(validator.iter_errors(data)) == [], path


def test_the_schema_refuses_what_check_refuses() -> None:
    validator = Draft202012Validator(json_schema())
    nudge = plain(read_yaml("x.yaml", files()["campaigns/nudge.yaml"]))

    assert validator.is_valid(nudge)
    for wrong in (
        {**nudge, "jorney": []},
        {**nudge, "state": "alive"},
        {**nudge, "journey": [{"delay": "soon"}]},
        {**nudge, "journey": [{"dealy": "30m"}]},
        {key: value for key, value in nudge.items() if key != "trigger"},
    ):
        assert not validator.is_valid(wrong)


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)

    code = command.run(parser.parse_args([]))

    assert code == 0
    assert json.loads(capsys.readouterr().out) == json_schema()
