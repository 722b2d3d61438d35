"""The Gateway's error answers: JSON for who asks for JSON, XML for the others."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_INACTIVE = "/IWFND/MED/170"
RESOURCE_NOT_FOUND = "/IWBEP/CM_MGW_RT/020"
NOT_IMPLEMENTED = "/IWBEP/CM_MGW_RT/021"
BAD_REQUEST = "/IWBEP/CX_MGW_BUSI_EXCEPTION"
NO_AUTHORIZATION = "/IWFND/CM_CONSUMER/101"
OBJECT_LOCKED = "56/393"
STOCK_DEFICIT = "M7/021"


class ODataError(Exception):
    """Raised when a request must be answered with an OData error.

    `english` and `chinese` are the message in the two logon languages; `code` is SAP's message class and number.
    """

    def __init__(
        self,
        status: int,
        code: str,
        english: str,
        chinese: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(english)
        self.status = status
        self.code = code
        self.english = english
        self.chinese = chinese or english
        self.headers = dict(headers or {})

    def text(self, language: str) -> str:
        """Return the message in a logon language (`ZH` or `EN`)."""
        return self.chinese if language == "ZH" else self.english


def not_found(segment: str) -> ODataError:
    """Build the error for a path segment or a key that does not exist."""
    return ODataError(
        404,
        RESOURCE_NOT_FOUND,
        f"Resource not found for segment '{segment}'",
        f"未找到段 '{segment}' 的资源",
    )


def bad_request(english: str, chinese: str | None = None) -> ODataError:
    """Build the error for a request that can't be understood."""
    return ODataError(400, BAD_REQUEST, english, chinese)


def render_json(error: ODataError, language: str, service_name: str) -> bytes:
    """Render the documented JSON error shape of a Gateway."""
    text = error.text(language)
    now = datetime.now(UTC)
    body = {
        "error": {
            "code": error.code,
            "message": {"lang": language.lower(), "value": text},
            "innererror": {
                "application": {
                    "component_id": "",
                    "service_namespace": "/SAP/",
                    "service_id": service_name,
                    "service_version": "0001",
                },
                "transactionid": secrets.token_hex(16).upper(),
                "timestamp": f"{now:%Y%m%d%H%M%S}.{now.microsecond:06d}0",
                "Error_Resolution": {
                    "SAP_Transaction": "Run transaction /IWFND/ERROR_LOG on the Gateway hub and look for the entry",
                    "SAP_Note": "See SAP Note 1797736 for error analysis",
                },
                "errordetails": [
                    {"code": error.code, "message": text, "propertyref": "", "severity": "error", "target": ""},
                ],
            },
        },
    }
    return json.dumps(body, ensure_ascii=False).encode()


def render_xml(error: ODataError, language: str) -> bytes:
    """Render the error as the XML that clients get who do not ask for JSON."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
        f"<code>{escape(error.code)}</code>"
        f'<message xml:lang="{language.lower()}">{escape(error.text(language))}</message>'
        "</error>"
    ).encode()
