"""Where commands take the workspace from: the last word, everywhere; `--dir` as up to 0.5.0."""

from pathlib import Path

import pytest

from engine.cli import COMMANDS, actions_of, parser_of

NAMED = (
    "segment members vip", "segment cluster shoppers", "campaign pause cart", "scores list",
    "scores load churn a.csv", "model list", "model train churn", "recommend liked u1",
    "segment explain vip --profile u1", "model rollback churn --to 3", "recommend liked u1 -n 3",
)  # fmt: skip
HERE = Path()


def folder(line: str) -> Path:
    command, *words = line.split()
    found = parser_of(command).parse_args(words).directory
    assert isinstance(found, Path)
    return found


@pytest.mark.parametrize("line", NAMED)
def test_the_workspace_is_the_last_word_or_where_one_stands(line: str) -> None:
    assert folder(line) == HERE
    assert folder(f"{line} shop") == Path("shop")
    assert folder(f"{line} --json shop") == Path("shop")
    assert folder(f"{line} shop --json") == Path("shop")


@pytest.mark.parametrize("line", NAMED)
def test_what_scripts_of_0_5_say_is_understood(line: str) -> None:
    assert folder(f"{line} --dir shop") == Path("shop")
    assert folder(f"{line} --dir shop --json") == Path("shop")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_speaks_of_two_ways(command: str) -> None:
    parser = parser_of(command)

    for each in (parser, *actions_of(parser).values()):
        assert "--dir" not in each.format_help()


@pytest.mark.parametrize("line", ["model list shop shop", "model list shop --json other"])
def test_one_word_too_many_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        folder(line)

    assert "unrecognized arguments: " in capsys.readouterr().err
