from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from connectors.erp.kingdee import create
from connectors.erp.kingdee.check import known_names, missing_fields
from connectors.registry import create_erp
from hub.errors import ConfigError, MappingError
from tests.unit.connectors.kingdee.conftest import LOCATIONS, MAPPINGS, SETTINGS, Server, failure, make_connector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIELDS = [
    *("FMATERIALID", "FAUXPROPID", "FSTOCKID", "FSRCSTOCKID", "FDESTSTOCKID", "FSTOCKSTATUSID", "FBASEQTY"),
    *("FBASEUNITID", "FOWNERID", "FLOT", "FEXPIRYDATE", "FUPDATETIME", "FDOCUMENTSTATUS", "FMODIFYDATE"),
    *("FAPPROVEDATE", "FNUMBER", "FNAME", "FFORBIDSTATUS", "FBARCODE", "FUNITID"),
    *("FBILLNO", "FBASEUNITQTY", "FBASEGAINQTY", "FBASELOSSQTY"),
]


def description(*without: str) -> dict[str, Any]:
    fields = [{"Key": name, "Name": [{"Key": 2052, "Value": "…"}]} for name in FIELDS if name not in without]
    entries = [{"Key": key, "EntryPkFieldName": "FEntryID", "Fields": []} for key in ("FEntity", "FInStockEntry")]
    body = {"Id": "X", "Entrys": [{"Key": "FBillHead", "Fields": fields}, *entries, {"Key": "FBILLENTRY"}]}
    return {"Result": {"ResponseStatus": {"IsSuccess": True, "Errors": []}, "NeedReturnData": body}}


def row(question: dict[str, Any]) -> list[dict[str, Any]]:
    if question["StartRow"]:
        return []
    values = {"FUpdateTime": "2020-01-01T00:00:00"}
    return [{field: values.get(field, "1") for field in question["FieldKeys"].split(",")}]


def by_name(connector: Any) -> dict[str, Any]:
    return {result.name: result for result in connector.check()}


def test_all_is_well(server: Server) -> None:
    server.answer(lambda _: description(), "QueryBusinessInfo")
    server.answer(row)
    results = by_name(make_connector())
    assert [name for name, result in results.items() if not result.ok] == []
    assert next(iter(results)) == "sign-in"
    assert "fields of STK_StatusConvert" in results
    assert "a row of BD_BarCodeMaster" in results
    assert results["rows per page"].detail == "asked for 2000, got 1"


def test_a_refused_signature_is_told_alone(server: Server) -> None:
    server.answer(lambda _: [[failure("会话信息已丢失，请重新登录", 1)]])
    (result,) = make_connector().check()
    assert not result.ok
    assert "app_secret" in result.advice
    (result,) = make_connector(app_id="short").check()
    assert "32 characters" in result.advice


def test_a_server_that_is_not_there_is_told_alone(server: Server) -> None:
    server.answer(lambda _: (404, "<html>"))
    (result,) = make_connector().check()
    assert not result.ok
    assert "server_url" in result.advice


def test_a_missing_field_is_named_with_what_was_probably_meant(server: Server) -> None:
    def answer(question: dict[str, Any]) -> Any:
        return description("FBASEQTY") if question["FormId"] == "STK_Inventory" else description()

    server.answer(answer, "QueryBusinessInfo")
    server.answer(lambda question: failure("字段不存在", 9) if "FBaseQty" in question["FieldKeys"] else row(question))
    results = by_name(make_connector())
    fields = results["fields of STK_Inventory"]
    assert not fields.ok
    assert "FBaseQty" in fields.detail
    assert "stock.yaml" in fields.advice
    assert not results["a row of STK_Inventory"].ok
    assert results["fields of BD_MATERIAL"].ok


def test_the_fields_of_what_a_bill_did_are_checked(server: Server) -> None:
    server.answer(lambda _: description("FBASEUNITQTY", "FBILLNO"), "QueryBusinessInfo")
    server.answer(row)
    results = by_name(make_connector())
    assert results["fields of SAL_OUTSTOCK"].detail == "not on this tenant: FBillNo, FBaseUnitQty"
    assert "moved_sal_outstock.yaml" in results["fields of SAL_OUTSTOCK"].advice
    assert results["fields of STK_StatusConvert"].ok


def test_a_missing_form_fails_its_own_line(server: Server) -> None:
    def absent(question: dict[str, Any], otherwise: Callable[[], Any]) -> Any:
        return failure("业务对象不存在", 4) if question["FormId"] == "BD_BarCodeMaster" else otherwise()

    server.answer(lambda question: absent(question, description), "QueryBusinessInfo")
    server.answer(lambda question: absent(question, lambda: row(question)))
    bad = [result for result in make_connector().check() if not result.ok]
    assert [result.name for result in bad] == ["fields of BD_BarCodeMaster", "a row of BD_BarCodeMaster"]
    assert "null" in bad[0].advice


def test_a_lower_maximum_is_told(server: Server) -> None:
    server.answer(lambda _: {"Result": {}}, "QueryBusinessInfo")

    def respond(question: dict[str, Any]) -> list[dict[str, Any]]:
        first = int(question["FilterString"].rpartition("'F")[2].strip("'") or 0)
        row = dict.fromkeys(question["FieldKeys"].split(","), "2020-01-01")
        return [{**row, "FID": f"F{first + number}"} for number in range(min(question["Limit"], 50))]

    server.answer(respond)
    results = by_name(make_connector())
    assert results["rows per page"].advice == "set page_rows = 50"
    assert results["fields of STK_Inventory"].ok


def test_empty_forms_hint_at_permissions_and_the_future_at_the_time_zone(server: Server) -> None:
    server.answer(lambda _: description(), "QueryBusinessInfo")
    server.answer(lambda _: [])
    assert "permission" in by_name(make_connector())["a row of STK_Inventory"].advice


def test_a_time_in_the_future_hints_at_the_zone(server: Server) -> None:
    server.answer(lambda _: description(), "QueryBusinessInfo")
    server.answer(
        lambda q: [dict.fromkeys(q["FieldKeys"].split(","), "2999-01-01T00:00:00")] if not q["StartRow"] else []
    )
    result = by_name(make_connector())["time zone"]
    assert not result.ok
    assert "time_zone" in result.advice


def test_login_mode_logs_in(server: Server) -> None:
    server.answer(lambda _: {"LoginResultType": 0}, "LoginBySign")
    (result,) = make_connector(auth="login_by_sign").check()
    assert not result.ok


def test_names_are_collected_from_any_shape_and_compared_tolerantly() -> None:
    known = known_names({"a": [{"key": "FMaterialId"}, {"FieldName": "FQTY", "Key": {"Key": "FEntity"}}]})
    assert known == {"FMATERIALID", "FQTY", "FENTITY"}
    fields = ["FID", "fmaterialid.FNumber", "FEntity_FEntryID", "FOther.FNumber"]
    assert missing_fields(fields, known) == ["FOther.FNumber"]


# --- create


def test_create_makes_a_connector_from_plain_settings() -> None:
    connector = create("kd", {**SETTINGS, "owner_numbers": ["100"]}, LOCATIONS, MAPPINGS.parents[1])
    assert connector.source == "kd"


def test_wrong_settings_are_told_without_their_values() -> None:
    wrong = {**SETTINGS, "lcid": "sécret", "app_secret": 5}
    with pytest.raises(ValidationError) as caught:
        create("kd", wrong, LOCATIONS, MAPPINGS.parents[1])
    assert "sécret" not in str(caught.value)
    with pytest.raises(ConfigError) as explained:
        create_erp("kingdee", "kd", wrong, LOCATIONS, MAPPINGS.parents[1])
    assert "sources.kd.connection.lcid" in str(explained.value)
    assert "ONESHELF_SOURCES__KD__CONNECTION__APP_SECRET" in str(explained.value)
    assert "sécret" not in str(explained.value)


def test_a_missing_or_foreign_mapping_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(MappingError):
        create("kd", SETTINGS, LOCATIONS, tmp_path)
    folder = tmp_path / "erp" / "kingdee"
    shutil.copytree(MAPPINGS, folder)
    shutil.copy(folder / "location.yaml", folder / "stock.yaml")
    with pytest.raises(ConfigError, match="must be StockRow"):
        create("kd", SETTINGS, LOCATIONS, tmp_path)
