"""What one SAP connection needs to know: what differs between SAP systems is a setting, never an assumption."""

from __future__ import annotations

from typing import Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class SapSettings(BaseModel):
    """Settings of one SAP S/4HANA connection over OData V2.

    Attributes:
        base_url: scheme, host and port (and a reverse proxy's path), for instance `https://s4.example.com:44300`.
        user: a technical user, with `password`; or else an OAuth2 client, with the three fields below.
        token_url: where the OAuth2 client-credentials token comes from.
        client: the SAP client (集团), sent as `sap-client`.
        language: of texts, as ISO 639-1; sent as `sap-language`, and preferred among an article's names.
        fallback_language: taken for a name that does not exist in `language`.
        page_rows: rows asked for at once; SAP caps answers at 5000 (SAP KBA 3626726).
        product_page_rows: articles at once; each brings its names and units, so fewer.
        document_page_rows: headers of material documents at once.
        requests_per_minute: budget shared by all threads of this connection.
        connect_timeout: seconds.
        read_timeout: seconds between two bytes of an answer.
        answer_timeout: seconds for a whole answer, however its bytes come.
        time_zone: the application server's, as IANA names it; creation times of documents are local to it and say so
            nowhere. A zone further east than the true one leaves documents of a wrong clock unnoticed for longer; one
            further west only makes each look read more.
        overlap_seconds: how far each look for changes goes back behind the newest document seen. A document becomes
            visible when it is committed and carries the time when it was begun, so the window must be longer than
            the longest posting.
        filter_length: characters of `$filter` at most, before percent-encoding; proxies limit the length of a URL.
        lock_codes: error codes that mean "another user holds it". SAP gives each application its own.
        verify_tls: False, or the path of a CA bundle.
        hook_secret: the bearer token that pushes must carry; without it pushes are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: str
    user: str | None = None
    password: SecretStr | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    client: str = Field(default="100", pattern=r"^\d{3}$")
    language: str = Field(default="ZH", pattern=r"^[A-Z]{2}$")
    fallback_language: str = Field(default="EN", pattern=r"^[A-Z]{2}$")
    page_rows: int = Field(default=5000, ge=2)
    product_page_rows: int = Field(default=1000, ge=2)
    document_page_rows: int = Field(default=5000, ge=1)
    requests_per_minute: int = Field(default=600, ge=1)
    connect_timeout: float = Field(default=5.0, gt=0)
    read_timeout: float = Field(default=60.0, gt=0)
    answer_timeout: float = Field(default=120.0, gt=0)
    time_zone: ZoneInfo = ZoneInfo("Asia/Shanghai")
    overlap_seconds: int = Field(default=300, ge=0)
    filter_length: int = Field(default=1500, ge=200)
    lock_codes: frozenset[str] = frozenset({"56/393", "M3/682", "MC/601"})
    verify_tls: bool | str = True
    hook_secret: SecretStr | None = None

    @field_validator("base_url")
    @classmethod
    def _without_trailing_slash(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            message = "must begin with https:// or http://"
            raise ValueError(message)
        if "@" in value.partition("://")[2].partition("/")[0]:
            message = "must not hold a user; use the settings user and password"
            raise ValueError(message)
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        basic = (self.user, self.password)
        oauth = (self.token_url, self.client_id, self.client_secret)
        chosen = [way for way in (basic, oauth) if any(part is not None for part in way)]
        if len(chosen) != 1 or not all(part is not None for part in chosen[0]):
            message = "give either user and password, or token_url, client_id and client_secret"
            raise ValueError(message)
        return self
