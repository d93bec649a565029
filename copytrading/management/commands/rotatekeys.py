"""`manage.py rotatekeys`: moves every stored secret under the current key-encryption key; `--add` makes a new one."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from copytrading.console import one_line, require_migrated
from copytrading.wiring_signer import build_vault, key_file
from execution.vault.keks import KekError
from execution.vault.vault import SecretMissing, Vault, VaultError
from ledger.system import SystemEntropy

WHO = "manage.py rotatekeys"


class Command(BaseCommand):
    """Each secret is one transaction with its audit entry: what was interrupted goes on at the next run."""

    help = (
        "Wrap every stored secret under the current key-encryption key, the first one. Old keys must be there until it "
        "has run; afterwards, and once no backup needs them, they may go. Engines and signers that read SLIPSTREAM_KEK "
        "are restarted with both keys first; a key file is read anew by itself."
    )
    # A key that is missing is an error of the checks, and this command is what they tell people to run.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--init", action="store_true", help="make the key file of SLIPSTREAM_KEK_PATH, and no more")
        chosen.add_argument("--add", action="store_true", help="put a new key before the others in the key file first")
        chosen.add_argument("--dry-run", action="store_true", help="say what would be re-wrapped, change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON line")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Refuse before anything is changed."""
        require_migrated()
        try:
            if options["init"]:
                self._init()
                return
            if options["add"]:
                # Under the number of a key that is only missing it would stand in that one's way for ever.
                version = key_file().add(SystemEntropy(), taken=build_vault().versions())
                self.stderr.write(f"Key {version} is the current one now; keep a copy of the file.")
            self._rotate(build_vault(), dry_run=options["dry_run"], as_json=options["json"])
        except (ImproperlyConfigured, KekError, VaultError) as error:
            raise CommandError(str(error)) from None

    def _init(self) -> None:
        file, sealed = key_file(), sum(build_vault().versions().values())
        if sealed:
            raise CommandError(
                f"{sealed} secrets are sealed already, and a new key would open none of them: bring their key back."
            )
        version = file.make(SystemEntropy())
        self.stdout.write(
            f"The key file is made, with key {version}. Keep a copy outside this machine and its backups."
        )

    def _rotate(self, vault: Vault, *, dry_run: bool, as_json: bool) -> None:
        behind, done, failed = vault.behind(), 0, []
        for name in [] if dry_run else behind:
            try:
                done += vault.rewrap(name, actor=WHO).changed
            except SecretMissing:
                continue  # Deleted meanwhile.
            except VaultError as error:
                failed.append(str(error))
        report = {"behind": len(behind), "rewrapped": done, "failed": len(failed), "by_key": vault.versions()}
        self.stdout.write(one_line(report) if as_json else _sentence(report, dry_run=dry_run))
        if failed:
            raise CommandError("\n".join(failed))


def _sentence(report: dict[str, Any], *, dry_run: bool) -> str:
    held = ", ".join(f"{count} under {version}" for version, count in report["by_key"].items()) or "none are stored"
    if dry_run:
        return f"{report['behind']} secrets would be re-wrapped. Now: {held}."
    return f"{report['rewrapped']} secrets re-wrapped, {report['failed']} failed. Now: {held}."
