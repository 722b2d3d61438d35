"""Pseudonyms and redaction: what a recording keeps of a value is its form, and nothing that nobody allowed."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean

from connectors.calls import RequestBudget
from connectors.erp.probing import spelling_of
from connectors.http import Exchange, HttpClient
from connectors.recording.pseudonyms import Pseudonyms
from connectors.recording.redaction import Redactor, Vocabulary
from connectors.recording.rules import RecordingRules
from connectors.recording.store import record
from connectors.spelling import Number, read_spelled, write_spelled
from hub.errors import ConfigError
from hub.mapping import load_mapping
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARED = Pseudonyms()
WORDS = st.from_regex(r"[A-Z]{3}-[0-9]{4,6}[a-z]{0,2}", fullmatch=True)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


def form(text: str) -> str:
    kinds = [(r"[1-9]", "9"), (r"[a-z]", "a"), (r"[A-Z]", "A")]
    for pattern, kind in kinds:
        text = re.sub(pattern, kind, text)
    return text


def fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


# --- pseudonyms


@given(WORDS)
def test_a_word_keeps_its_form_and_is_another_one(word: str) -> None:
    made = SHARED.text(word)
    assert made != word
    assert SHARED.text(word) == made
    assert [char.isdigit() for char in made] == [char.isdigit() for char in word]
    assert form(re.sub(r"\d", "9", made)) == form(re.sub(r"\d", "9", word))
    digits = re.search(r"\d+", word)
    assert digits is not None
    zeros = len(digits[0]) - len(digits[0].lstrip("0"))
    assert made[4 : 4 + zeros] == "0" * zeros
    assert zeros == len(digits[0]) or made[4 + zeros] != "0"


@given(st.lists(st.text(min_size=1, max_size=6), unique_by=lambda text: text, max_size=30))
def test_any_text_is_taken_and_two_words_never_share_a_pseudonym(texts: list[str]) -> None:
    pseudonyms = Pseudonyms()
    made: dict[str, str] = {}
    for text in texts:
        for word in re.findall(r"[^\W_]+", text):
            shown = pseudonyms.text(word)
            assert made.setdefault(fold(shown), fold(word)) == fold(word)
    for text in texts:
        assert pseudonyms.text(text) == pseudonyms.text(text)


def test_all_words_of_one_letter_get_different_ones_and_none_its_own() -> None:
    pseudonyms = Pseudonyms()
    letters = [chr(ord("a") + n) for n in range(26)]
    made = [pseudonyms.text(letter) for letter in letters]
    assert len(set(made)) == 26
    assert all(shown != letter for shown, letter in zip(made, letters, strict=True))
    assert sum(len(shown) == 1 for shown in made) >= 25


def test_case_and_width_are_kept_and_make_no_other_word() -> None:
    pseudonyms = Pseudonyms()
    lower = pseudonyms.text("abc7")
    assert pseudonyms.text("ABC7") == lower.upper()
    assert pseudonyms.text("ａｂｃ７").isascii() is False
    assert len(pseudonyms.text("红色")) == 2
    assert pseudonyms.text("红色") != "红色"
    assert pseudonyms.text("000") == "000"


@given(st.from_regex(r"[1-9][0-9]{11}", fullmatch=True))
def test_a_valid_gtin_stays_valid_and_a_wrong_one_wrong(digits: str) -> None:
    valid = digits + ean.calc_check_digit(digits)
    assert ean.is_valid(SHARED.text(valid))
    assert SHARED.text(valid) != valid
    wrong = valid[:-1] + str((int(valid[-1]) + 1) % 10)
    assert not ean.is_valid(SHARED.text(wrong))


@given(NUMBERS)
def test_a_number_keeps_its_spelling_and_is_another_one(number: str) -> None:
    made = SHARED.number(number)
    mantissa = re.split("[eE]", number)[0]
    assert (made == number) == (not mantissa.strip("-0."))
    assert [char for char in made if not char.isdigit()] == [char for char in number if not char.isdigit()]
    assert len(made) == len(number)
    assert spelling_of(Number(made)) == spelling_of(Number(number))
    assert made.startswith("-") == number.startswith("-")


def test_times_move_by_the_same_days_and_keep_their_spelling() -> None:
    pseudonyms = Pseudonyms()
    days = pseudonyms.days
    assert days.days >= 200
    assert pseudonyms.text("2026-11-22T10:11:12.123") == f"{date(2026, 11, 22) - days}T10:11:12.123"
    assert pseudonyms.text("2026-11-22") == str(date(2026, 11, 22) - days)
    assert pseudonyms.text("/Date(1795651200000)/") == f"/Date({1795651200000 - days.days * 86_400_000})/"
    assert pseudonyms.text("/Date(1795651200000+0480)/").endswith("+0480)/")
    assert pseudonyms.text("PT17H57M48S") == "PT17H57M48S"
    for sentinel in ("0001-01-01T00:00:00", "9999-12-31", "/Date(253402214400000)/"):
        assert pseudonyms.text(sentinel) == sentinel


@pytest.mark.parametrize("text", ["2026-11-22 10:11 Wang", "1985-03-12", "2026-99-99", "0001-01-02", "PT", "/Date(x)/"])
def test_what_only_begins_like_a_time_is_no_time(text: str) -> None:
    made = Pseudonyms().text(text)
    assert made != text or not re.search(r"[1-9]", text)
    assert "Wang" not in made


# --- spelling


@pytest.mark.parametrize(
    "text", ['{"a": [1.50, 1E+2, -0, 12345678901234567890]}', '["红", null, true, ""]', "[]", "{}"]
)
def test_json_is_written_as_it_was_spelled(text: str) -> None:
    assert write_spelled(read_spelled(text)) == text


def test_a_long_answer_takes_a_line_for_each_row() -> None:
    rows = [{"a": Number("1.0"), "b": "x" * 40} for _ in range(60)]
    text = write_spelled({"d": {"results": rows}})
    assert text.count("\n") > 60
    assert read_spelled(text) == {"d": {"results": rows}}


# --- redaction


@pytest.fixture
def redactor() -> Redactor:
    stock = load_mapping(PROJECT_ROOT / "mappings" / "erp" / "kingdee" / "stock.yaml")
    vocabulary = Vocabulary.of([stock], words={"FDocumentStatus": "ABC"}, plain=["MsgCode"])
    return Redactor(vocabulary, Pseudonyms())


def test_only_listed_codes_of_their_own_field_stay(redactor: Redactor) -> None:
    assert redactor.value("FStockStatusId.FNumber", "KCZT01_SYS") == "KCZT01_SYS"
    assert redactor.value("FSTOCKSTATUSID.FNUMBER", "KCZT01_SYS") == "KCZT01_SYS"
    assert redactor.value("FName", "KCZT01_SYS") != "KCZT01_SYS"
    assert redactor.value("FStockStatusId.FNumber", "KCZT99_OWN") != "KCZT99_OWN"
    assert redactor.value("MsgCode", Number("4")) == "4"
    assert redactor.value("MsgCode", "the shop in Suzhou") != "the shop in Suzhou"


def test_an_unlisted_code_never_becomes_a_listed_one(redactor: Redactor) -> None:
    codes = [chr(ord("D") + n) for n in range(20)]
    shown = [redactor.value("FDocumentStatus", code) for code in codes]
    assert not {"A", "B", "C"} & set(shown)
    assert len(set(shown)) == len(codes)


def test_what_nobody_named_is_replaced_however_deep_it_stands(redactor: Redactor) -> None:
    answer = {"Anything": [{"F_NEW": "Wang Wei", "n": Number("4711"), "the key": None}, ["13812345678", True, ""]]}
    shown = redactor.value("", answer)
    text = write_spelled(shown)
    for original in ("Wang", "Wei", "4711", "13812345678", "the key"):
        assert original not in text
    assert isinstance(shown["Anything"][0]["n"], Number)
    assert shown["Anything"][1][1:] == [True, ""]


def test_a_condition_keeps_names_and_operators_and_the_values_match_the_rows(redactor: Redactor) -> None:
    made = redactor.condition("(FMaterialId.FNumber > 'A-17' OR (FStockId.FNumber = 'O''Hara' AND FID >= 4711))")
    material, shop = redactor.value("FMaterialId.FNumber", "A-17"), redactor.value("FStockId.FNumber", "O'Hara")
    number = redactor.value("FID", Number("4711"))
    shop = shop.replace("'", "''")
    assert made == f"(FMaterialId.FNumber > '{material}' OR (FStockId.FNumber = '{shop}' AND FID >= {number}))"
    made = redactor.condition("CreationDate ge datetime'2026-11-25T00:00:00' and CreationTime ge time'PT01H02M03S'")
    assert "2026-11-25" not in made
    assert "time'PT01H02M03S'" in made


def test_headers_that_are_not_named_are_left_out(redactor: Redactor) -> None:
    response = requests.Response()
    response.headers.update(
        {
            "Content-Type": "application/json; charset=utf-8",
            "Set-Cookie": "sid=geheim",
            "Server": "erp7.shop.example",
            "X-RateLimit-Remaining": "7",
            "Date": "Wed, 25 Nov 2026 20:10:28 GMT",
            "Retry-After": "someone@shop.example",
        }
    )
    shown = redactor.headers(response)
    assert shown.keys() == {"Content-Type", "X-RateLimit-Remaining", "Date"}
    assert "25 Nov 2026" not in shown["Date"]
    assert shown["Date"].endswith("20:10:28 GMT")


# --- the second lock


class Careless:
    """A connector whose redaction lets everything through."""

    source = "careless"
    mapping_version = "none"

    def __init__(self) -> None:
        self.http = HttpClient("careless", budget=RequestBudget(1000))

    def check(self) -> list[Any]:
        response = requests.Response()
        response._content = b"{}"
        assert self.http._watched is not None
        self.http._watched.append(Exchange(requests.PreparedRequest(), response, 0.0))
        return []

    def get_items(self) -> Iterator[Any]:
        return iter(())

    def get_locations(self) -> list[Any]:
        return []

    def iter_stock(self, keys: Any = None) -> Iterator[Any]:
        return iter(keys or ())

    def changed_keys(self, cursor: Any) -> Any:
        from hub.contracts import Changes

        return Changes(frozenset(), cursor or {})

    @property
    def recording_rules(self) -> RecordingRules:
        from connectors.erp.sap import SapSettings

        settings = SapSettings(base_url="https://erp7.shop.example:44300/x", user="ROBOT", password="geheim-7")  # type: ignore[arg-type]
        vocabulary = Vocabulary({}, frozenset())
        return RecordingRules(vocabulary, lambda _, __: {"leak": self.leak}, settings, (), ())

    leak = ""


@pytest.mark.parametrize("leak", ["geheim-7", "see erp7.shop.example", "by ROBOT"])
def test_a_setting_that_comes_through_stops_the_recording(tmp_path: Path, leak: str) -> None:
    connector: Any = Careless()
    connector.leak = leak
    with pytest.raises(ConfigError, match=r"001\.json; nothing was written"):
        record(connector, tmp_path / "out", [], pages=1, items=True, about={})
    assert not (tmp_path / "out").exists()
    connector.leak = "harmless"
    record(connector, tmp_path / "out", [], pages=1, items=True, about={})
    with pytest.raises(ConfigError, match="not empty"):
        record(connector, tmp_path / "out", [], pages=1, items=True, about={})


def test_a_transport_without_http_is_refused_in_words(tmp_path: Path) -> None:
    from tests.fake_erp import FakeErp

    with pytest.raises(ConfigError, match="can't be recorded"):
        record(FakeErp(), tmp_path / "out", [], pages=1, items=True, about={})
