"""docs/channels.md names everything there is to name."""

import ast
import re
from pathlib import Path

import pytest

import channels
from channels.chat.http import SHAPES
from channels.content.filters import _TOKENS, FILTERS
from channels.content.template_checks import CALLS, NAMES
from channels.content.templating import TESTS
from channels.email.bounces import BLOCK, HARD, MESSAGE, VAGUE
from channels.email.smtp import SmtpSettings
from channels.push.content import KEYS
from channels.sandbox import Rates, SandboxSettings

ROOT = Path(channels.__file__).parent.parent
DOCS = (ROOT / "docs" / "channels.md").read_text("utf-8")
COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}


def words(text: str) -> set[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", prose) for word in code.split()}


@pytest.mark.parametrize(
    "names",
    [FILTERS, _TOKENS, set(TESTS) - COMPARISONS, NAMES,
     SmtpSettings.__struct_encode_fields__, SandboxSettings.__struct_encode_fields__,
     Rates.__struct_fields__, KEYS, SHAPES],
)  # fmt: skip
def test_every_name_a_user_may_write_is_documented(names: object) -> None:
    assert isinstance(names, dict | set | tuple)
    assert {str(name) for name in names} <= words(DOCS)


def test_functions_codes_and_lint_rules_are_documented() -> None:
    lint = (ROOT / "channels" / "content" / "lint.py").read_text("utf-8")
    rules = {
        node.value
        for node in ast.walk(ast.parse(lint))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z]+(-[a-z]+)+", node.value)
    }

    assert all(f"`{name}(" in DOCS for name in CALLS)
    assert all(code in DOCS for code in HARD | VAGUE | MESSAGE | BLOCK)
    assert {"sms-parts", "no-text", "image-alt"} <= rules
    assert rules <= words(DOCS)
