"""From files to what could be played: read, checked, compiled. Touches no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from campaigns.compile import Phase, compile_workspace
from campaigns.declarations import Blind
from campaigns.load import load_workspace
from campaigns.problems import InvalidWorkspace, Problem
from campaigns.saved_answers import saved_names
from campaigns.workspace import Workspace
from channels.content.feeds import Feed
from channels.content.templates import CompiledTemplate, compile_template, template_names
from engine.core.errors import CampaignError
from engine.core.model.campaigns import Program
from engine.core.segments import Segments, for_program
from engine.release.content_checks import content_problems
from engine.release.provider_checks import provider_problems
from engine.release.push_checks import push_problems
from engine.release.report_checks import report_problems
from engine.release.send_checks import confirmation_problems, send_problems

Templates = Mapping[tuple[str, str], CompiledTemplate]


@dataclass(frozen=True)
class Checked:
    """A workspace that passed every check, with what was compiled on the way."""

    workspace: Workspace
    program: Program
    segments: Segments
    templates: Templates

    @property
    def feeds(self) -> dict[str, Feed]:
        """The products of catalog/, as blocks of templates choose from them."""
        catalog = self.workspace.catalog
        return {name: Feed(name, file.rows) for name, file in catalog.items()}


def check(directory: Path, *, environ: Mapping[str, str] | None = None) -> Checked:
    """Read and compile a workspace without touching a database.

    Raises:
        InvalidWorkspace: With every problem that was found.
    """
    return compiled(load_workspace(directory, environ=environ))


def compiled(
    workspace: Workspace,
    *,
    release: int = 0,
    phases: Mapping[str, Phase] | None = None,
    blind: Blind | None = None,
    is_checked: bool = False,
) -> Checked:
    """A loaded workspace compiled, templates and all.

    Args:
        blind: Makes markers of pii values. Without one nothing that asks for a pii value matches,
            which is right wherever no profile is involved.
        is_checked: It was live already, see `compile_workspace`.
    Raises:
        InvalidWorkspace: With every problem that was found.
    """
    templates = compile_templates(workspace)
    if not is_checked:
        check_providers(workspace, templates)
    program = compile_workspace(
        workspace,
        release=release,
        phases=phases or {},
        templates={key: template.facts() for key, template in templates.items()},
        blind=blind or (lambda trait, kind, value: "no key"),
        is_checked=is_checked,
    )
    return Checked(workspace, program, for_program(program), templates)


def check_providers(workspace: Workspace, templates: Templates) -> None:
    """Refuse what the providers of antiphon.yaml cannot do.

    Raises:
        InvalidWorkspace: With everything that was found.
    """
    problems = [*provider_problems(workspace), *report_problems(workspace)]
    problems += send_problems(workspace, templates)
    problems += confirmation_problems(workspace, templates)
    problems += push_problems(templates, workspace.files)
    problems += content_problems(workspace, templates)
    if problems:
        raise InvalidWorkspace(problems)


def compile_templates(workspace: Workspace) -> dict[tuple[str, str], CompiledTemplate]:
    """Every template of a workspace, compiled; all their errors at once.

    Raises:
        InvalidWorkspace: With one problem per template that does not compile.
    """
    templates: dict[tuple[str, str], CompiledTemplate] = {}
    problems: list[Problem] = []
    saved = saved_names(workspace)
    for channel, name in sorted(template_names(workspace.files)):
        try:
            templates[(channel, name)] = compile_template(
                channel, name, workspace.files, saved=saved
            )
        except CampaignError as error:
            problems.append(_problem(str(error)))
    if problems:
        raise InvalidWorkspace(problems)
    return templates


def _problem(words: str) -> Problem:
    """A template's error, which begins with file:line, as a problem."""
    place, _, message = words.partition(": ")
    file, _, line = place.rpartition(":")
    return Problem(file, int(line), "", message) if line.isdigit() else Problem("", 0, "", words)
