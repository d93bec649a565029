"""The sandbox stands alone: it can disagree with the engine only while it shares nothing with it."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "execution" / "sandbox"
OWN = ("execution.sandbox", "ledger.clock", "ledger.units")
PACKAGES = ("config", "copytrading", "execution", "guardrails", "ledger", "django")


def _foreign(text: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    ours = {name for name in names if name.split(".")[0] in PACKAGES}
    return {name for name in ours if not name.startswith(OWN)}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_of_the_sandbox_imports_nothing_of_the_engine(path: Path) -> None:
    assert _foreign(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("from execution.orders import x", {"execution.orders"}),
        ("import copytrading.signals", {"copytrading.signals"}),
        ("from execution.sandbox.world import World\nfrom ledger.clock import Clock\nimport json", set()),
    ],
)
def test_the_check_sees_what_is_imported(text: str, foreign: set[str]) -> None:
    assert _foreign(text) == foreign
