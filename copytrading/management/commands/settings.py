"""`manage.py settings`: every setting with its unit, default, meaning and present value; also as the manual's table."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

BEGIN, END = "<!-- settings: written by `manage.py settings --write` -->", "<!-- end of settings -->"


class Declared(Protocol):
    """A setting as `config.declare` remembers it."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def default(self) -> str: ...

    @property
    def meaning(self) -> str: ...

    @property
    def secret(self) -> bool: ...

    @property
    def group(self) -> str: ...

    @property
    def given(self) -> str | None: ...

    @property
    def shown(self) -> str: ...


class Command(BaseCommand):
    """Reads what `config.declare` remembers; a secret's value is never shown."""

    help = "List every setting: name, value, unit, default, meaning. Values of secrets are never shown."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options; one of them at a time."""
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--json", action="store_true", help="print one JSON line")
        how.add_argument("--markdown", action="store_true", help="print the manual's table, which has no values")
        how.add_argument("--check", type=Path, metavar="FILE", help="fail when the table in this file is out of date")
        how.add_argument("--write", type=Path, metavar="FILE", help="bring the table in this file up to date")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print, check or write."""
        declared: Sequence[Declared] = settings.SETTINGS
        if options["json"]:
            self.stdout.write(json.dumps([_as_object(each) for each in declared], separators=(",", ":")))
        elif options["markdown"]:
            self.stdout.write(table(declared))
        elif options["check"]:
            path = options["check"]
            if _with_table(_text_of(path), path, declared) != _text_of(path):
                raise CommandError(f"{path} is out of date; run `manage.py settings --write {path}`.")
        elif options["write"]:
            path = options["write"]
            path.write_text(_with_table(_text_of(path), path, declared), encoding="utf-8")
        else:
            self.stdout.write("\n".join(_lines(declared)))


def table(declared: Iterable[Declared]) -> str:
    """The manual's table: one for each group, without values."""
    parts = []
    for group, members in groupby(declared, key=lambda each: each.group):
        rows = ["| setting | kind | default | meaning |", "|---|---|---|---|"]
        for each in members:
            kind = each.unit or each.kind
            rows.append(f"| `{each.name}`{_mark(each)} | {kind} | {_code(each.default)} | {_cell(each.meaning)} |")
        parts.append("\n".join([f"**{group}**", "", *rows]))
    return "\n\n".join(parts)


def _lines(declared: Iterable[Declared]) -> Iterator[str]:
    for group, members in groupby(declared, key=lambda each: each.group):
        yield f"{group}"
        for each in members:
            unit = f" {each.unit}" if each.unit else ""
            changed = f"   (default: {each.default})" if each.given is not None else ""
            yield f"  {each.name} = {each.shown}{unit}{changed}"
            yield f"      {each.meaning}"
        yield ""


def _as_object(each: Declared) -> dict[str, object]:
    return {
        "name": each.name,
        "kind": each.kind,
        "unit": each.unit,
        "default": each.default,
        "meaning": each.meaning,
        "secret": each.secret,
        "given": each.given is not None,
        "value": each.shown,
    }


def _with_table(text: str, path: Path, declared: Iterable[Declared]) -> str:
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise CommandError(f"{path} has no place for the table: it needs the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{table(declared)}\n\n{END}{after}"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None


def _mark(each: Declared) -> str:
    return " (secret)" if each.secret else ""


def _code(text: str) -> str:
    return f"`{text}`" if text and " " not in text else text or "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
