"""The catalogues are complete in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import storefront_adapter
from storefront_adapter.texts import LOCALE_DIR, Languages

METHODS = [("**.py", "python"), ("**.html", "jinja2")]


def used() -> set[object]:
    root = Path(storefront_adapter.__file__).parent
    return {message for _, _, message, _, _ in extract_from_dir(root, method_map=METHODS)}


@pytest.mark.parametrize("locale", ["zh_CN", "en"])
def test_every_text_is_translated_and_none_is_left_over(locale: str) -> None:
    with (LOCALE_DIR / locale / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=locale)
    messages = [message for message in catalogue if message.id]
    assert {message.id for message in messages} == used()
    for message in messages:
        texts = message.string if isinstance(message.string, (tuple, list)) else [message.string]
        assert all(texts), f"untranslated: {message.id}"
        assert not message.fuzzy, f"fuzzy: {message.id}"
        assert not list(message.check(catalogue)), f"placeholders differ: {message.id}"


def test_wishes_come_before_the_browser_and_the_default_comes_last() -> None:
    languages = Languages("zh")
    assert languages.choose("en", "zh").code == "en"
    assert languages.choose(None, "xx", accept="fr, en;q=0.1, zh;q=0").code == "en"
    assert languages.choose(None, accept="fr;q=x, *").code == "zh"
