"""The audit log is append-only in the database itself."""

import pytest
from django.db import IntegrityError, connection, transaction

from ledger.audit import AuditNote
from ledger.models import AuditEntry
from ledger.operations import write_audit

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(db: None) -> AuditEntry:
    """What Olga did."""
    write_audit([AuditNote(actor="olga", action="pause", subject="guardrails.switch", why="odd prices")])
    return AuditEntry.objects.get()


def test_entry_is_written_whole_and_its_long_texts_are_cut(db: None) -> None:
    note = AuditNote(actor="o" * 200, action="change", subject="a.b", subject_id="7", label="l" * 300, why="w" * 300)
    write_audit([note])
    entry = AuditEntry.objects.get()
    assert (len(entry.actor), len(entry.label), len(entry.why), entry.subject_id) == (150, 200, 200, "7")


def test_entry_cannot_be_changed(entry: AuditEntry) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEntry.objects.update(actor="nobody")
    entry.refresh_from_db()
    assert entry.actor == "olga"


@pytest.mark.postgres
def test_entry_cannot_be_deleted(entry: AuditEntry) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_auditentry")
    assert AuditEntry.objects.filter(pk=entry.pk).exists()
