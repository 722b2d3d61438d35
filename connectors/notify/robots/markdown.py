"""An alert as Markdown that both vendors' robots show the same, within their limits.

Of Markdown only headings, bold text, quotes and links are used, which both vendors document; how far they follow
backslash escapes is documented by neither, so characters that mean something are replaced by their full-width twins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from hub.contracts import Alert

_MEANING = str.maketrans("*`#[]<>\\~|", "＊｀＃［］＜＞＼～｜")  # `<@id>` would call a member of the group
_GAPS = re.compile(r"\s+")
_LONGEST_TITLE = 80
_LONGEST_PART = 300
_ELLIPSIS = "…"
_SAFE = "%/:=&?#+,;@-._~"


def plain(text: str, longest: int = _LONGEST_PART) -> str:
    """Return text on one line in which no character means anything, at most `longest` characters."""
    line = _GAPS.sub(" ", "".join(c if c.isprintable() or c.isspace() else " " for c in text)).strip()
    line = line.translate(_MEANING)
    return line if len(line) <= longest else line[: longest - 1] + _ELLIPSIS


def title_of(alert: Alert, keyword: str = "") -> str:
    """Return the title on one line, with the robot's keyword if it is not there already."""
    title = plain(alert.title, _LONGEST_TITLE)
    return title if not keyword or keyword in title else f"{title} {keyword}"


def text_of(alert: Alert, *, keyword: str = "") -> str:
    """Return the whole message: what matters first, so that a cut takes the least."""
    parts = [f"### {title_of(alert, keyword)}", plain(alert.summary)]
    if alert.advice:
        parts.append(f"**→** {plain(alert.advice)}")
    parts.append(f"[{_label(alert)}]({_address(alert.link)})")
    parts.extend(f"> {plain(detail)}" for detail in alert.details)
    return "\n\n".join(parts)


def cut(text: str, limit: int) -> str:
    """Return text of at most `limit` bytes in UTF-8, with no character cut in two."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - len(_ELLIPSIS.encode())].decode("utf-8", "ignore") + _ELLIPSIS


def _label(alert: Alert) -> str:
    return plain(alert.link.partition("://")[2] or alert.link, 60)


def _address(link: str) -> str:
    """Return the link so that nothing in it ends it early or means something else."""
    return quote(link.encode("utf-8", "replace"), safe=_SAFE)[:500]
