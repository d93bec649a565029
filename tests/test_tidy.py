"""The tidy test: what no linter checks about the size and the manners of our code.

An offender that has to stay is named in ALLOWED; the list may only shrink, and a name that no longer offends must go.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("config", "copytrading", "execution", "guardrails", "ledger", "tests")

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

MONEY_MODULES = (
    *("ledger/*.py", "guardrails/*.py"),
    *(
        f"execution/{name}.py"
        for name in (
            *("orders", "pricing", "books", "fees", "positions", "preflight", "about", "gamma"),
            *("approvals", "eip1559", "signer/transaction_policy"),
        )
    ),
    *(f"execution/clob/{name}.py" for name in ("numbers", "trades", "order_state", "order_wire")),
    *(f"copytrading/{name}.py" for name in ("sizing", "fields", "signals", "groups", "holdings", "decide", "filters")),
)
# Seconds and milliseconds are no money.
TIME_MODULES = ("ledger/clock.py", "ledger/system.py", "ledger/db.py", "*/metrics.py")

SETTINGS_READERS = (
    *("config/**", "tests/**", "copytrading/wiring*.py", "**/management/commands/*.py", "**/checks.py", "**/asgi.py"),
    "copytrading/dashboard/**",
)

ALLOWED: dict[str, frozenset[str]] = {}
"""By rule: the offences ("path" or "path:function") that are known and wait for their repair."""

N = TypeVar("N", bound=ast.AST)
Rule = Callable[[str, ast.Module, str], Iterator[str]]


def long_files(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    """Files over 400 lines."""
    if len(text.splitlines()) > FILE_LINES_MAX:
        yield path


def long_functions(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    """Functions over 60 lines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX:
            yield f"{path}:{node.name}"


def floats_near_money(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    """The name `float`, also in a quoted annotation, or a literal like 0.5, in a money module."""
    if not _matches(path, MONEY_MODULES) or _matches(path, TIME_MODULES):
        return
    for node in ast.walk(tree):
        named = isinstance(node, ast.Name) and node.id == "float"
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        if named or literal or _quotes_float(node):
            yield path


def prints(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    """Calls of print outside manage.py; a command writes to self.stdout, the rest logs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield path


def settings_below_wiring(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    """`django.conf` imported where values should have been handed down as arguments."""
    if _matches(path, SETTINGS_READERS):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name == "django.conf" or name.startswith("config.settings") for name in names):
            yield path


def borrowed_names(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    """A comprehension that calls a variable as the module calls a function that is called beside it.

    Python 3.12.1 takes the function for the variable then, and raises UnboundLocalError.
    """
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            called = {call.func.id for call in _found(node, ast.Call) if isinstance(call.func, ast.Name)}
            targets = [name for each in _found(node, ast.comprehension) for name in _found(each.target, ast.Name)]
            if functions & called & {name.id for name in targets}:
                yield f"{path}:{node.name}"


def _found(node: ast.AST, kind: type[N]) -> Iterator[N]:
    return (each for each in ast.walk(node) if isinstance(each, kind))


RULES: tuple[Rule, ...] = (
    *(long_files, long_functions, floats_near_money, prints, settings_below_wiring),
    borrowed_names,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_code_is_tidy(rule: Rule) -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]
    assert files
    offences = set()
    for file in files:
        offences |= _offences(rule, file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))
    allowed = ALLOWED.get(rule.__name__, frozenset())
    assert sorted(offences - allowed) == [], rule.__doc__
    assert sorted(allowed - offences) == [], "these offend no more: delete them from ALLOWED"


@pytest.mark.parametrize(
    ("rule", "path", "good", "bad"),
    [
        (long_files, "ledger/units.py", "a = 1\n" * 400, "a = 1\n" * 401),
        (long_functions, "ledger/units.py", "def f():\n" + " a = 1\n" * 59, "def f():\n" + " a = 1\n" * 60),
        (long_functions, "ledger/db.py", "async def f():\n a = 1", "class A:\n async def f():\n" + "  a = 1\n" * 60),
        (floats_near_money, "ledger/units.py", "a: int = 1", "a = float('1')"),
        (floats_near_money, "guardrails/rules.py", "a: 'int' = 1", "a: 'float | None' = None"),
        (floats_near_money, "copytrading/sizing.py", "def f(a: int): 'float'", "def f(a: list[float]): ..."),
        (floats_near_money, "execution/fees.py", "a = 5 * b", "a = 0.5 * b"),
        (prints, "ledger/units.py", "log.info('a')", "print('a')"),
        (settings_below_wiring, "ledger/db.py", "from django.db import models", "from django.conf import settings"),
        (settings_below_wiring, "execution/chain.py", "import django.db", "import django.conf"),
        (settings_below_wiring, "guardrails/rules.py", "import config_x", "from config import settings"),
        (
            borrowed_names,
            "ledger/db.py",
            "def _a(): ...\ndef f(): [b for _b, b in c]; _a()",
            "def _a(): ...\ndef f(): [b for _a, b in c]; _a()",
        ),
    ],
)
def test_each_rule_can_fail(rule: Rule, path: str, good: str, bad: str) -> None:
    assert _offences(rule, path, good) == set()
    assert _offences(rule, path, bad) != set()


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (floats_near_money, "ledger/clock.py", "def monotonic_ms() -> float: ..."),
        (floats_near_money, "guardrails/metrics.py", "BUCKETS = (0.001, 0.01)"),
        (floats_near_money, "guardrails/stores/memory.py", "ttl = 0.5"),
        (settings_below_wiring, "copytrading/wiring.py", "from django.conf import settings"),
        (settings_below_wiring, "copytrading/management/commands/replay.py", "from django.conf import settings"),
    ],
)
def test_rules_spare_the_places_made_for_it(rule: Rule, path: str, text: str) -> None:
    assert _offences(rule, path, text) == set()


PIN = re.compile(r"[a-z0-9._-]+==[^\s;@]+( ; [^@]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
"""The only lines a lock may hold: a pinned name with its marker, or a hash; so no address has a place."""


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_holds_pins_and_hashes_and_no_address(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) > 100
    assert [line for line in lines if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("line", ["a @ https://host/a.whl \\", "--index\x2durl https://host", "a>=1 \\", "-e ."])
def test_lock_rule_can_fail(line: str) -> None:
    assert not PIN.fullmatch(line)


def test_dev_lock_holds_the_same_pins_and_more() -> None:
    runtime, dev = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert set(_pins(runtime)) - set(_pins(dev)) == set()
    assert len(_pins(runtime)) < len(_pins(dev))


LEAKS = re.compile(
    r"""(?:^|[^\w.-])/(?:home|Users|root|work|tmp/bash_jobs)/[A-Za-z]  # a path of somebody's machine
    |--(?:extra-)?index-url\b|"resolved":\s*"http|registry\s*=\s*"?http  # the address of a registry""",
    re.VERBOSE | re.MULTILINE,
)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout: nothing says which files are ours")
def test_no_file_names_a_developers_machine_or_a_registry() -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\0")
    files = [path for name in names if name and (path := ROOT / name).is_file()]
    assert files
    assert [str(path.relative_to(ROOT)) for path in files if LEAKS.search(path.read_text(errors="replace"))] == []


# \x2f is a slash, written so that this file does not offend against its own rule.
@pytest.mark.parametrize("text", ["see \x2fwork/main", "x=\x2fhome/olga", '"resolved":\x20"https://host"'])
def test_leak_rule_can_fail(text: str) -> None:
    assert LEAKS.search(text)


def test_leak_rule_spares_addresses_and_relative_paths() -> None:
    assert not LEAKS.search("https://docs.example.com/work/on/it and docs/work/it and `/data/trades`")


def _offences(rule: Rule, path: str, text: str) -> set[str]:
    return set(rule(path, ast.parse(text), text))


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whole-path match: `*` stays within a folder, a leading `**/` or trailing `/**` is any depth."""
    for pattern in patterns:
        if pattern.endswith("/**"):
            found = path.startswith(pattern[:-2])
        elif pattern.startswith("**/"):
            found = PurePosixPath(path).match(pattern[3:])
        else:
            found = path.count("/") == pattern.count("/") and PurePosixPath(path).match(pattern)
        if found:
            return True
    return False


def _quotes_float(node: ast.AST) -> bool:
    """Whether the node is annotated with a text that names float."""
    notes = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    inner = [part for note in notes if isinstance(note, ast.AST) for part in ast.walk(note)]
    return any(isinstance(part, ast.Constant) and "float" in str(part.value) for part in inner)


def _pins(lock: str) -> set[str]:
    """Each requirement with its hashes, as one text."""
    return set(re.split(r"\n(?=\S)", lock.strip()))
