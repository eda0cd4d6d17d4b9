"""The example workspaces check clean, and the core does what their own tests expect."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import campaigns
from campaigns.compile import compile_workspace
from campaigns.load import load_workspace
from campaigns.reading import plain
from campaigns.trial_forms import ExpectedSendAt, ExpectedSilence, TestFile
from campaigns.workspace import Workspace
from channels.content.expressions import evaluate
from channels.content.lint import lint
from channels.content.templates import compile_template, template_names
from engine.core.model.campaigns import Program, Variant
from engine.core.model.effects import SendMessage
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Contact, Event, Person, Profile, State
from engine.core.model.steps import Send
from engine.core.play import play
from engine.core.segments import for_program
from engine.simulation.foretold import answers, without_exploring

EXAMPLES = Path(campaigns.__file__).parent / "examples"
ADDRESSES = {"email": "email", "phone": "sms", "push_token": "push"}
"""Which trait makes a profile reachable on which channel."""

WORKSPACES = {name: load_workspace(EXAMPLES / name, environ={}) for name in ("shop", "starter")}
TESTS = [
    pytest.param(name, test, id=f"{name}: {test.test}")
    for name, workspace in WORKSPACES.items()
    for test in workspace.tests.values()
]


@pytest.mark.parametrize("name", WORKSPACES)
def test_an_example_is_complete(name: str) -> None:
    workspace = WORKSPACES[name]

    assert workspace.notices == ()
    assert workspace.campaigns
    assert workspace.metrics
    assert workspace.tests
    for path in workspace.trees:
        first = workspace.files[path].decode().splitlines()[0]
        up = "" if path == "antiphon.yaml" else "../"
        assert first == f"# yaml-language-server: $schema={up}schema.json"


@pytest.mark.parametrize("name", WORKSPACES)
def test_every_template_of_an_example_compiles_without_a_warning(name: str) -> None:
    files = WORKSPACES[name].files

    for channel, template in template_names(files):
        assert lint(compile_template(channel, template, files)) == []


@pytest.mark.parametrize("name", WORKSPACES)
def test_every_template_of_an_example_is_sent_by_some_step(name: str) -> None:
    program = _program(WORKSPACES[name])

    sent = {
        (step.channel, step.template)
        for campaign in program.campaigns.values()
        for step in campaign.steps.values()
        if isinstance(step, Send)
    }

    assert sent == set(WORKSPACES[name].templates)


@pytest.mark.parametrize(("name", "test"), TESTS)
def test_the_core_does_what_an_example_expects(name: str, test: TestFile) -> None:
    program = without_exploring(_forced(_program(WORKSPACES[name]), test), test.given)

    sent = _played(program, test)

    expected = [it for it in test.expect if isinstance(it, ExpectedSendAt)]
    assert [(channel, template) for _, channel, template in sent] == [
        (str(it.send.channel), str(it.send.template)) for it in expected
    ]
    for (at, *_), it in zip(sent, expected, strict=True):
        assert it.at <= at < it.at + max(it.within, 1)


def _program(workspace: Workspace) -> Program:
    templates = {
        (channel, name): compile_template(channel, name, workspace.files).facts()
        for channel, name in template_names(workspace.files)
    }
    return compile_workspace(
        workspace,
        release=1,
        phases={},
        templates=templates,
        blind=lambda trait, kind, value: f"blind:{value}",
    )


def _forced(program: Program, test: TestFile) -> Program:
    """The same program without chance: all weight on one variant, all or none held out."""
    shares = {"in": 1.0, "out": 0.0}
    forced = {str(name): str(variant) for name, variant in test.force.items()}
    if "holdout" in forced:
        share = shares[forced["holdout"]]
        held = {
            name: structs.replace(
                campaign,
                holdout=structs.replace(campaign.holdout, share=share)
                if campaign.holdout
                else None,
            )
            for name, campaign in program.campaigns.items()
        }
        program = structs.replace(program, campaigns=held)
    experiments = {
        key: structs.replace(
            experiment,
            variants=tuple(
                Variant(variant.name, int(variant.name == forced.get(key[0], variant.name)))
                for variant in experiment.variants
            ),
        )
        for key, experiment in program.experiments.items()
    }
    return structs.replace(program, experiments=experiments)


def _played(program: Program, test: TestFile) -> list[tuple[Instant, str, str]]:
    given = test.given
    traits: dict[str, Any] = {
        str(name): plain(value) for name, value in given.profile.traits.items()
    }
    channels = {channel for trait, channel in ADDRESSES.items() if trait in traits}
    person = Person(
        Profile(
            id=ProfileId(1),
            zone=str(traits.get("timezone", program.zone)),
            traits={
                name: f"blind:{value}" if name in program.pii_traits else value
                for name, value in traits.items()
            },
            consent={
                str(channel): {str(topic): granted for topic, granted in topics.items()}
                for channel, topics in given.profile.consent.items()
            },
            addresses={channel: Contact() for channel in channels},
            scores={model: said for model, (_, said) in answers(given).items()},
        ),
        State(),
        is_new=True,
    )
    events = [
        Event(
            seq=number,
            name=str(event.event),
            at=event.at,
            accepted_at=event.at,
            properties={str(name): plain(value) for name, value in event.properties.items()},
            context=plain(dict(event.context)),
        )
        for number, event in enumerate(given.events, start=1)
    ]
    horizon = max(
        expected.nothing_until if isinstance(expected, ExpectedSilence) else expected.at
        for expected in test.expect
    )
    ids = count(1)
    effects = play(
        person,
        events,
        program=program,
        segments=for_program(program),
        floor=0,
        horizon=horizon,
        evaluate=evaluate,
        new_id=lambda kind: next(ids),
    )
    return [
        (effect.at, effect.draft.channel, effect.draft.template)
        for effect in effects
        if type(effect) is SendMessage
    ]
