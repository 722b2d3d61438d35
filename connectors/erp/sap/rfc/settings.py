"""What one SAP connection over RFC needs to know."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class RfcSettings(BaseModel):
    """Settings of one SAP system that is read over RFC (`transport = "rfc"`).

    Attributes:
        ashost: an application server, with its instance number `sysnr`; or else
        mshost: a message server, with the logon group `group` and the system id `sysid` (`msserv`: its port or service,
            where that is not `sapms<sysid>`).
        saprouter: the route string of an SAProuter on the way.
        user: a technical user of type System or Communication, with `password`; or else
        snc_partnername: the server's SNC name; `snc_myname`, `snc_qop` and `snc_lib` as SAP's library wants them.
        client: the SAP client (集团).
        language: of texts, as ISO 639-1; preferred among an article's names.
        fallback_language: taken for a name that does not exist in `language`.
        pyrfc_module: the module that provides `pyrfc`.
        conversations: open at once at most, log-ons that hang included; SAP's default limit for all clients is 200.
        logon_timeout: seconds for a log-on, or for the ping before an idle conversation is used again.
        call_timeout: seconds for one call.
        ping_after: seconds without a call after which a conversation is tried before it is used.
        idle_timeout: seconds without a call after which a conversation is closed.
        requests_per_minute: budget shared by all threads of this connection.
        read_function: what reads tables; a copy with the same interface (`BBP_RFC_READ_TABLE`, or one's own) will do.
        page_rows: rows of one answer at most; smaller where SAP runs out of memory.
        names_per_call: materials, documents or batches that one call asks for by name.
        places_per_call: storage locations that one call asks for by name.
        material_length: digits to which SAP fills up a number with zeros: 18, or 40 in an S/4HANA that was set so.
        material_zeros: False where numbers are stored as typed ("lexicographic" in transaction OMSL); the mapping files
            must not strip zeros then.
        expiry_table: where batches (批次) keep their expiry date: MCH1 when they are unique per material, MCHA when
            per plant; none where goods do not expire.
        overlap_seconds: how far each look for changes goes back behind the newest document seen. A document becomes
            visible when it is committed and carries the time when it was begun.
        check_rule: the checking rule (检查规则) of the availability check; A is that of sales orders.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ashost: str | None = None
    sysnr: str = Field(default="00", pattern=r"^\d{2}$")
    mshost: str | None = None
    msserv: str | None = None
    group: str | None = None
    sysid: str | None = None
    saprouter: str | None = None
    user: str | None = None
    password: SecretStr | None = None
    snc_partnername: str | None = None
    snc_myname: str | None = None
    snc_qop: str | None = None
    snc_lib: str | None = None
    client: str = Field(default="100", pattern=r"^\d{3}$")
    language: str = Field(default="ZH", pattern=r"^[A-Z]{2}$")
    fallback_language: str = Field(default="EN", pattern=r"^[A-Z]{2}$")
    pyrfc_module: str = "pyrfc"
    conversations: int = Field(default=4, ge=1, le=50)
    logon_timeout: float = Field(default=15.0, gt=0)
    call_timeout: float = Field(default=60.0, gt=0)
    ping_after: float = Field(default=30.0, ge=0)
    idle_timeout: float = Field(default=120.0, gt=0)
    requests_per_minute: int = Field(default=600, ge=1)
    read_function: str = Field(default="RFC_READ_TABLE", pattern=r"^[A-Z0-9_/]{1,30}$")
    page_rows: int = Field(default=10_000, ge=2)
    names_per_call: int = Field(default=100, ge=1, le=1000)
    places_per_call: int = Field(default=100, ge=1, le=1000)
    material_length: int = Field(default=18, ge=1, le=40)
    material_zeros: bool = True
    expiry_table: Literal["MCH1", "MCHA", "none"] = "MCH1"
    overlap_seconds: int = Field(default=300, ge=0)
    check_rule: str = Field(default="A", pattern=r"^[A-Z0-9]{1,2}$")

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        balanced = (self.mshost, self.group, self.sysid)
        if (self.ashost is None) == all(part is None for part in balanced):
            message = "give either ashost, or mshost, group and sysid"
            raise ValueError(message)
        if self.ashost is None and not all(balanced):
            message = "a message server needs mshost, group and sysid"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_way_to_log_on(self) -> Self:
        if (self.user is None) != (self.password is None):
            message = "user and password belong together"
            raise ValueError(message)
        if self.user is None and self.snc_partnername is None:
            message = "give either user and password, or snc_partnername"
            raise ValueError(message)
        return self

    def logon_parameters(self) -> dict[str, str]:
        """Return what `pyrfc.Connection` takes, the password included.

        Only names that every provider of `pyrfc` knows: one of them refuses a log-on with a name that it does not.
        """
        server = ("ashost", "sysnr") if self.ashost is not None else ("mshost", "msserv", "group", "sysid")
        names = (*server, "saprouter", "user", "snc_partnername", "snc_myname", "snc_qop", "snc_lib", "client")
        found = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.password is not None:
            found["passwd"] = self.password.get_secret_value()
        if self.snc_partnername is not None:
            found["snc_mode"] = "1"
        return {**found, "lang": self.language}
