"""Writes about people: every version of a config stays readable, because copies name the version that decided them."""

from django.db import transaction

from copytrading.models import CopyConfig, CopyConfigVersion
from copytrading.models.people import ConfigFields

CHOICES = tuple(field.attname for field in ConfigFields._meta.fields)
"""The columns that a version keeps; follower and leader never change."""


class ConfigChanged(Exception):
    """The config is no longer at the version that was changed; the message is a sentence for people."""


def save_config(config: CopyConfig, *, changed_by: str) -> bool:
    """Write a new config, or the changed choices of one, with the version's history row; one transaction.

    The row changes only while its version is still `config.version`, which rises then by one. Returns False
    when nothing was different. Raises ConfigChanged, and IntegrityError for a second config of the same pair.
    """
    if config._state.adding:
        with transaction.atomic():
            config.version = 1
            config.save(force_insert=True)
            _remember(config, changed_by)
        return True
    before = CopyConfig.objects.filter(pk=config.pk, version=config.version).first()
    if before is None:
        raise _changed(config)
    if _choices(before) == _choices(config):
        return False
    with transaction.atomic():
        row = CopyConfig.objects.filter(pk=config.pk, version=before.version)
        if row.update(version=before.version + 1, **_choices(config)) != 1:
            raise _changed(config)
        _remember(before, "")
        config.version = before.version + 1
        _remember(config, changed_by)
    return True


def _remember(config: CopyConfig, changed_by: str) -> None:
    # A config made without this operation has no row for its first version: it gets one before that is lost.
    CopyConfigVersion.objects.bulk_create(
        [CopyConfigVersion(config=config, version=config.version, changed_by=changed_by, **_choices(config))],
        ignore_conflicts=True,
    )


def _choices(config: CopyConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in CHOICES}


def _changed(config: CopyConfig) -> ConfigChanged:
    return ConfigChanged(f"Config {config.pk} was changed by somebody else meanwhile; look at it again.")
