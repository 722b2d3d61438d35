"""Limits of an SAP system that only a made-up one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.sap.rfc.access import AccessProbe, split_at
from connectors.erp.sap.rfc.reading import TableReader
from connectors.erp.sap.rfc.settings import RfcSettings
from connectors.erp.sap.rfc.tables import Column
from tests.unit.connectors.sap_rfc.fake import LOGON, PASSWORD, CommunicationError, FakeConnection, FakeSap, make_client

if TYPE_CHECKING:
    import pytest


class Crowded(FakeSap):
    """An SAP that lets nobody in once two conversations are open."""

    def connect(self) -> FakeConnection:
        if self.opened - self.closed >= 2:
            raise CommunicationError(
                f"max no of 2 conversations exceeded by {PASSWORD}", key="RFC_COMMUNICATION_FAILURE"
            )
        return super().connect()


def access(sap: FakeSap, **settings: Any) -> AccessProbe:
    client = make_client(sap, **settings)
    return AccessProbe(
        client, TableReader(client, "RFC_READ_TABLE", 10), RfcSettings.model_validate({**LOGON, **settings})
    )


def test_fewer_conversations_than_the_settings_allow_are_named() -> None:
    [seen] = access(Crowded(), conversations=4).observe_conversations()
    assert seen.alarming
    assert seen.seen.startswith("2 at once, then: ")
    assert "max no of 2" in seen.seen
    assert PASSWORD not in seen.seen
    assert "conversations = 2" in seen.advice


def test_as_many_conversations_as_wanted_are_well() -> None:
    sap = FakeSap()
    [seen] = access(sap, conversations=3).observe_conversations()
    assert seen.agrees
    assert sap.opened == 3


def test_a_log_on_that_nearly_takes_too_long_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {found.name: found for found in access(FakeSap()).observe_log_on()}
    assert seen["log-on time"].agrees
    assert "release 731" in seen["log-on time"].seen
    seconds = iter([0.0, 9.0])
    monkeypatch.setattr("connectors.erp.sap.rfc.access.monotonic", lambda: next(seconds))
    seen = {found.name: found for found in access(FakeSap()).observe_log_on()}
    assert not seen["log-on time"].agrees
    assert "logon_timeout" in seen["log-on time"].advice


def test_a_system_without_unicode_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = {"client": "100", "sysId": "ECC", "partnerRel": "620", "partnerBytesPerChar": "1"}
    monkeypatch.setattr(FakeConnection, "get_connection_attributes", lambda _: attributes)
    seen = {found.name: found for found in access(FakeSap()).observe_log_on()}
    assert "not Unicode" in seen["characters"].seen
    assert not seen["characters"].agrees
    assert not seen["characters"].alarming


def test_fields_are_taken_as_long_as_they_fit() -> None:
    columns = [Column("A", 0, 300), Column("B", 300, 212), Column("C", 512, 1), Column("D", 513, 1)]
    assert split_at(columns, 512) == (["A", "B"], ["A", "B", "C"])
    assert split_at(columns[:2], 512) == (["A", "B"], ["A", "B"])
