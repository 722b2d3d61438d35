"""Settings of one Kingdee K/3 Cloud connection: where, as whom, how fast, and which bills move stock."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.erp.kingdee.filters import FIELD_NAME, MEMBER_SEPARATOR

_XOR_KEY_BYTES = 24

FieldName = Annotated[str, Field(pattern=FIELD_NAME.pattern)]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class WatchedForm(BaseModel):
    """A form that the delta watches: each of its changed lines names stock keys to read again.

    Attributes:
        form: the form id at Kingdee.
        mappings: names of mapping files (without `.yaml`) with the target `MovedKey`, one per location of a line; a
            transfer has two, for where the goods leave and where they arrive.
        brings: those of `mappings` whose lines bring goods to their location; all others take them out of it.
        changed: times that say a line may have changed, the first one never blank. Bills need both their times: an
            audit (审核) sets the approval time and need not touch the modification time.
        row_id: what identifies a line, also among the hub's postings, in the order that makes an ordering unique; the
            bill's own id first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: FieldName
    mappings: tuple[FileName, ...] = Field(min_length=1)
    brings: tuple[FileName, ...] = ()
    changed: tuple[FieldName, ...] = Field(default=("FModifyDate", "FApproveDate"), min_length=1)
    row_id: tuple[FieldName, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _bring_by_own_mappings(self) -> WatchedForm:
        if others := sorted(set(self.brings) - set(self.mappings)):
            message = f"brings names {others[0]}, which is none of its mappings"
            raise ValueError(message)
        return self


class BarcodeForm(BaseModel):
    """The form that holds barcodes (条码主档). Its name and fields differ between tenants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: FieldName = "BD_BarCodeMaster"
    key: FieldName = "FNumber"
    material: FieldName = "FMaterialId.FNumber"


def _bill(form: str, entry: str, *, takes: str = "", brings: str = "") -> WatchedForm:
    mappings = tuple(name for name in (takes, brings) if name)
    row_id = ("FID", f"{entry}_FEntryID")
    return WatchedForm(form=form, mappings=mappings, brings=(brings,) if brings else (), row_id=row_id)


# The entry keys are those that others' published queries and saved bills use (those of SAL_RETURNSTOCK and
# STK_StockCountLoss by analogy with their opposites), and a tenant may have more forms that move stock
# (STK_StockConvert, STK_MISCELLANEOUS, STK_MisDelivery …): so they are settings, and `check` reads a line of each.
MOVEMENT_FORMS: tuple[WatchedForm, ...] = (
    _bill("SAL_OUTSTOCK", "FEntity", takes="moved_sal_outstock"),
    _bill("SAL_RETURNSTOCK", "FEntity", brings="moved_sal_returnstock"),
    _bill("STK_InStock", "FInStockEntry", brings="moved_stk_instock"),
    _bill(
        "STK_TransferDirect", "FBillEntry", takes="moved_stk_transferdirect_out", brings="moved_stk_transferdirect_in"
    ),
    _bill("STK_StockCountGain", "FBillEntry", brings="moved_stk_stockcountgain"),
    _bill("STK_StockCountLoss", "FBillEntry", takes="moved_stk_stockcountloss"),
    _bill("STK_StatusConvert", "FEntity", takes="moved_stk_statusconvert"),
)


class KingdeeSettings(BaseModel):
    """What an operator sets for one Kingdee K/3 Cloud (金蝶云星空) connection.

    Attributes:
        server_url: up to and including the product's path, for instance `https://erp.example.com/k3cloud/`.
        acct_id: the data centre (数据中心) id.
        user: the integration user (集成用户) that the third-party authorisation is bound to.
        app_id: the application id, `<id>_<32 characters>`, whole.
        app_secret: the application secret (应用密钥).
        secret_xor_key: only for servers set up with their own key (`x-kdapi-secpwd`), 24 characters or more.
        lcid: language of the answers; another number than the tenant's is refused like a wrong secret.
        org_number: number of the organisation that requests speak for and whose articles are read.
        auth: `signature` signs every request; `login_by_sign` logs in once and keeps the session.
        query_service: `BillQuery` answers with named fields; `ExecuteBillQuery` is for servers without it.
        page_rows: rows asked for per request; a server that gives fewer is found out and obeyed.
        requests_per_minute: budget of this connection, shared by all its threads. One look for changes costs a
            request per watched form (8 by default) and one more for each form with changes that might be cut short.
        connect_timeout: seconds to wait for a connection.
        read_timeout: seconds to wait for each piece of an answer.
        answer_timeout: seconds for a whole answer, however its pieces come.
        overlap_seconds: how far each look for changes reaches back behind the newest change it knows.
        time_zone: zone of the server's times, which carry none. Used by the self-check and to look up what moved an
            article; mapping files name their own.
        owner_numbers: organisations whose goods are ours to sell; goods of others are consigned (寄售). Blank means
            `org_number`.
        stock_org_numbers: read stock of these organisations alone; blank means all.
        movement_forms: bills watched beside the stock table, because a row that becomes zero disappears from it.
        barcode_form: where barcodes stand; null where the tenant has no such form.
        verify_tls: leave on. The signature has no protection against replay, so TLS is what keeps it secret.
        tls_ca_file: a certificate bundle, for a server with a certificate of the company's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server_url: str = Field(pattern=r"^https?://[^/\s?#]+(/[^\s?#]*)?$")
    acct_id: str = Field(min_length=1)
    user: str = Field(min_length=1)
    app_id: str = Field(min_length=1)
    app_secret: SecretStr = Field(min_length=1)
    secret_xor_key: SecretStr | None = Field(default=None, min_length=_XOR_KEY_BYTES)
    lcid: int = 2052
    org_number: str = "100"
    auth: Literal["signature", "login_by_sign"] = "signature"
    query_service: Literal["BillQuery", "ExecuteBillQuery"] = "BillQuery"
    page_rows: int = Field(default=2000, ge=2, le=10_000)
    requests_per_minute: int = Field(default=300, ge=1)
    connect_timeout: float = Field(default=5.0, gt=0)
    read_timeout: float = Field(default=60.0, gt=0)
    answer_timeout: float = Field(default=120.0, gt=0)
    overlap_seconds: int = Field(default=300, ge=0)
    time_zone: str = "Asia/Shanghai"
    owner_numbers: tuple[str, ...] = ()
    stock_org_numbers: tuple[str, ...] = ()
    movement_forms: tuple[WatchedForm, ...] = MOVEMENT_FORMS
    barcode_form: BarcodeForm | None = BarcodeForm()
    verify_tls: bool = True
    tls_ca_file: str | None = None

    @field_validator("server_url")
    @classmethod
    def _end_with_slash(cls, value: str) -> str:
        return value.rstrip("/") + "/"

    @field_validator("org_number", "acct_id", "user")
    @classmethod
    def _refuse_separator(cls, value: str) -> str:
        # The signed text is these values with commas between them: one inside a value would shift its neighbours.
        if MEMBER_SEPARATOR in value:
            message = "must not contain a comma"
            raise ValueError(message)
        return value

    @field_validator("time_zone")
    @classmethod
    def _know_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError) as error:
            message = "unknown time zone; write for instance Asia/Shanghai"
            raise ValueError(message) from error
        return value

    @model_validator(mode="after")
    def _watch_each_form_once(self) -> KingdeeSettings:
        forms = [watched.form for watched in self.movement_forms]
        if len(forms) != len(set(forms)):
            message = "movement_forms names a form twice; give its mappings in one entry"
            raise ValueError(message)
        return self

    @property
    def own_owners(self) -> frozenset[str]:
        """Return the owner numbers whose goods are our own."""
        return frozenset(self.owner_numbers or (self.org_number,))
