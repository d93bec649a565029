"""How a setting is declared: read from the environment or a file, checked, and remembered with what it means.

No setting can be declared without a default and a meaning, and no number without its unit; `manage.py settings` and
the table of docs/operations.md are made from what is remembered here.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

FILE_SUFFIX = "_FILE"
SLIPS_MAX, LONG_NAME = 2, 8
"""Wrong characters that a near miss has at most; of a setting whose name has fewer characters than this, one."""
SHOWN_MAX = 40
"""Characters of a wrong value that a sentence repeats; of a secret it repeats none."""

WORDS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "y", "ok", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "0", ""), False),
}
AUTO = "auto"
DATABASE_SCHEMES = frozenset({"sqlite", "postgres", "postgresql", "psql", "pgsql"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as it was declared, and the text that was given for it."""

    name: str
    kind: str
    unit: str
    default: str
    meaning: str
    secret: bool
    group: str
    given: str | None = field(repr=False)
    """None: the default holds."""

    @property
    def shown(self) -> str:
        """The value that holds; of a secret only whether it was set."""
        if self.given is None:
            return self.default
        return "(set)" if self.secret else self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What every declaration says beside its name."""

    kind: str
    default: str
    meaning: str
    unit: str = ""
    secret: bool = False


class Declarations:
    """Reads settings from a mapping like `os.environ` and remembers them in the order of their declaration.

    NAME_FILE names a file that holds the value of NAME, and wins over NAME. Every method raises
    ImproperlyConfigured with a sentence that names the setting.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._settings: dict[str, Setting] = {}
        self._group = ""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What was declared so far."""
        return tuple(self._settings.values())

    def group(self, title: str) -> None:
        """What is declared from here on stands under this title."""
        self._group = title

    def number(self, name: str, *, default: int, unit: str, meaning: str) -> int:
        """A whole number; `unit` says of what."""
        asked = _Asked(kind="whole number", default=str(default), unit=unit, meaning=meaning)
        return self._read(name, asked, lambda text: _whole_number(name, text.strip()), default)

    def switch(self, name: str, *, default: bool, meaning: str) -> bool:
        """True or false."""
        asked = _Asked(kind="true or false", default=str(default).lower(), meaning=meaning)
        return self._read(name, asked, lambda text: _yes_or_no(name, text), default)

    def switch_or_auto(self, name: str, *, meaning: str) -> bool | None:
        """True, false, or None for `auto`, which is the default."""
        asked = _Asked(kind="true, false or auto", default=AUTO, meaning=meaning)
        return self._read(name, asked, lambda text: None if text.lower() == AUTO else _yes_or_no(name, text), None)

    def choice(self, name: str, *, default: str, options: Sequence[str], meaning: str) -> str:
        """One of a few words, in capital letters."""
        asked = _Asked(kind=", ".join(options), default=default, meaning=meaning)
        return self._read(name, asked, lambda text: _one_of(name, text.upper(), options), default)

    def text(self, name: str, *, default: str, meaning: str) -> str:
        """Any text."""
        return self._read(name, _Asked(kind="text", default=default, meaning=meaning), str, default)

    def secret(self, name: str, *, default: str, shown_default: str, meaning: str) -> str:
        """A text that is never shown; `shown_default` stands for its default."""
        asked = _Asked(kind="text", default=shown_default, meaning=meaning, secret=True)
        return self._read(name, asked, str, default)

    def words(self, name: str, *, default: Sequence[str], meaning: str) -> list[str]:
        """Words with commas between them."""
        asked = _Asked(kind="list with commas", default=",".join(default), meaning=meaning)
        return self._read(name, asked, _words, list(default))

    def database(self, name: str, *, default: str, shown_default: str, meaning: str) -> dict[str, Any]:
        """A database address, as Django's DATABASES wants it; its password is never shown."""
        asked = _Asked(kind="URL", default=shown_default, meaning=meaning, secret=True)
        return self._read(name, asked, lambda text: _database(name, text), _database(name, default))

    def refuse_unknown(self, prefixes: tuple[str, ...], *, spared: frozenset[str]) -> None:
        """Refuse variables that look like ours and are not: a misspelt limit would be no limit."""
        known = self._known()
        for name in sorted(self._environment):
            if name.startswith(prefixes) and name not in known | spared:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else "; `manage.py settings` lists what there is."
                raise ImproperlyConfigured(f"{name} is no setting{hint}")

    def refuse_near_misses(self, *, spared: frozenset[str]) -> None:
        """Refuse variables that are a slip of the finger away from a setting, such as ALLOWED_HOST.

        The environment is full of other programs' names, so a short name forgives less, and one that is only alike
        (REDIS_HOST, SECRET_KEY_BASE) passes.
        """
        known = self._known()
        for name in sorted(self._environment.keys() - known - spared):
            for near in sorted(known):
                slips = SLIPS_MAX if len(near.removesuffix(FILE_SUFFIX)) >= LONG_NAME else 1
                if _within(name, near, slips):
                    raise ImproperlyConfigured(f"{name} is no setting; did you mean {near}?")

    def _known(self) -> set[str]:
        names = {setting.name for setting in self.settings}
        return names | {f"{name}{FILE_SUFFIX}" for name in names}

    def _read(self, name: str, asked: _Asked, parse: Callable[[str], T], default: T) -> T:
        if name in self._settings:
            raise ImproperlyConfigured(f"{name} is declared twice.")
        if not asked.meaning.strip():
            raise ImproperlyConfigured(f"{name} is declared without a meaning.")
        if asked.kind == "whole number" and not asked.unit.strip():
            raise ImproperlyConfigured(f"{name} is declared without a unit.")
        given = self._given(name)
        self._settings[name] = Setting(
            name=name,
            kind=asked.kind,
            unit=asked.unit,
            default=asked.default,
            meaning=asked.meaning,
            secret=asked.secret,
            group=self._group,
            given=given,
        )
        return default if given is None else parse(given)

    def _given(self, name: str) -> str | None:
        path = self._environment.get(f"{name}{FILE_SUFFIX}")
        if not path:
            return self._environment.get(name)
        try:
            # Editors and secret stores end a file with a line break that is no part of the secret.
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ImproperlyConfigured(f"{name}{FILE_SUFFIX} names a file that cannot be read: {why}.") from None


def _within(one: str, other: str, slips: int) -> bool:
    """Whether so many characters inserted, left out or replaced make one name of the other (Levenshtein)."""
    if abs(len(one) - len(other)) > slips:
        return False
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        before, row = row, [number]
        for place, wanted in enumerate(other):
            row.append(min(before[place] + (letter != wanted), before[place + 1] + 1, row[place] + 1))
        if min(row) > slips:
            return False
    return row[-1] <= slips


def _whole_number(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text[:SHOWN_MAX]!r}.")
    return int(text)


def _yes_or_no(name: str, text: str) -> bool:
    # A word that is neither must not quietly mean false: DRY_RUN=ture would trade.
    answer = WORDS.get(text.strip().lower())
    if answer is None:
        raise ImproperlyConfigured(f"{name} must be true or false, not {text[:SHOWN_MAX]!r}.")
    return answer


def _one_of(name: str, text: str, options: Sequence[str]) -> str:
    if text.strip() not in options:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(options)}, not {text[:SHOWN_MAX]!r}.")
    return text.strip()


def _database(name: str, text: str) -> dict[str, Any]:
    sentence = f"{name} must be sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME."
    # Asked first: of an unknown scheme the parser warns with the whole address, password and all.
    if text.partition("://")[0] not in DATABASE_SCHEMES:
        raise ImproperlyConfigured(sentence)
    try:
        found: dict[str, Any] = environ.Env.db_url_config(text)
    except (ValueError, KeyError, TypeError, ImproperlyConfigured):
        raise ImproperlyConfigured(sentence) from None
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
