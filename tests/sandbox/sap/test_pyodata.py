"""SAP's own OData client for Python reads the sandbox: metadata, queries, paging, keys, writing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyodata
import pytest
import requests

from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER
from tests.sandbox.sap.client import DOCUMENTS, PRODUCTS, ROOT, STOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.sap.client import SapUser


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = (DEMO_USER, DEMO_PASSWORD)
        yield session


def client(sap: SapUser, service: str, session: requests.Session) -> Any:
    return pyodata.Client(f"{sap.url}{ROOT}/{service}", session)


def test_metadata_of_all_services_is_read(reading: SapUser, session: requests.Session) -> None:
    sets = {
        service: {entity_set.name for entity_set in client(reading, service, session).schema.entity_sets}
        for service in (STOCK, DOCUMENTS, PRODUCTS)
    }

    assert sets == {
        STOCK: {"A_MatlStkInAcctMod", "A_MaterialStock"},
        DOCUMENTS: {"A_MaterialDocumentHeader", "A_MaterialDocumentItem"},
        PRODUCTS: {
            "A_Product", "A_ProductDescription", "A_ProductUnitsOfMeasure", "A_ProductUnitsOfMeasureEAN",
        },
    }  # fmt: skip
    schema = client(reading, STOCK, session).schema
    stock = schema.entity_type("A_MatlStkInAcctModType")
    assert len(stock.key_proprties) == 11
    quantity = stock.proprty("MatlWrhsStkQtyInMatlBaseUnit")
    assert (quantity.typ.name, quantity.precision, quantity.scale) == ("Edm.Decimal", 31, 14)
    header = client(reading, DOCUMENTS, session).schema.entity_type("A_MaterialDocumentHeaderType")
    assert header.proprty("CreationTime").typ.name == "Edm.Time"
    functions = {function.name for function in client(reading, DOCUMENTS, session).schema.function_imports}
    assert functions == {"Cancel", "CancelItem"}


def test_filter_order_and_count(reading: SapUser, session: requests.Session) -> None:
    stock = client(reading, STOCK, session).entity_sets.A_MatlStkInAcctMod

    request = stock.get_entities().filter("Plant eq '1010' and InventoryStockType eq '01'")
    rows = request.order_by("MatlWrhsStkQtyInMatlBaseUnit desc").top(20).execute()
    total = stock.get_entities().filter("Plant eq '1010'").count().execute()
    counted = stock.get_entities().filter("Plant eq '1010'").count(inline=True).top(1).execute()

    quantities = [Decimal(row.MatlWrhsStkQtyInMatlBaseUnit) for row in rows]
    assert quantities == sorted(quantities, reverse=True)
    assert {row.InventoryStockType for row in rows} == {"01"}
    books = [row for row in reading.world("stock").json()["rows"] if row["plant"] == "1010"]
    assert total == counted.total_count == len(books)


def test_next_is_followed_to_the_end(reading: SapUser, session: requests.Session) -> None:
    stock = client(reading, STOCK, session).entity_sets.A_MatlStkInAcctMod

    rows, pages = [], 0
    answer = stock.get_entities().execute()
    while True:
        rows.extend(answer)
        pages += 1
        if answer.next_url is None:
            break
        answer = stock.get_entities().next_url(answer.next_url).execute()

    assert pages > 4
    found = {
        (row.Material, row.Plant, row.StorageLocation, row.Batch, row.InventoryStockType,
         row.InventorySpecialStockType, row.Supplier): row.MatlWrhsStkQtyInMatlBaseUnit
        for row in rows
    }  # fmt: skip
    books = {
        (row["material"], row["plant"], row["storage_location"], row["batch"], row["stock_type"],
         row["special_stock"], row["supplier"]): row["quantity"]
        for row in reading.world("stock").json()["rows"]
    }  # fmt: skip
    assert len(rows) == len(found)
    assert {key: Decimal(value) for key, value in found.items()} == {key: Decimal(v) for key, v in books.items()}


def test_single_entity_by_its_key_of_eleven_parts(reading: SapUser, session: requests.Session) -> None:
    stock = client(reading, STOCK, session).entity_sets.A_MatlStkInAcctMod
    consignment = stock.get_entities().filter("InventorySpecialStockType eq 'K'").top(1).execute()[0]
    names = [prop.name for prop in consignment.entity_set.entity_type.key_proprties]

    entity = stock.get_entity(**{name: getattr(consignment, name) for name in names}).execute()
    parent = entity.nav("to_MaterialStock").execute()

    assert entity.Supplier == consignment.Supplier != ""
    assert entity.MatlWrhsStkQtyInMatlBaseUnit == consignment.MatlWrhsStkQtyInMatlBaseUnit
    assert parent.Material == entity.Material


def test_expand_and_navigation(reading: SapUser, session: requests.Session) -> None:
    products = client(reading, PRODUCTS, session).entity_sets.A_Product

    request = products.get_entities().filter("BaseUnit eq 'EA'").top(50)
    rows = request.expand("to_Description,to_ProductUnitsOfMeasure").execute()

    cartons = [unit for row in rows for unit in row.to_ProductUnitsOfMeasure if unit.AlternativeUnit == "CAR"]
    assert cartons
    assert {Decimal(unit.QuantityNumerator) for unit in cartons} <= {Decimal(6), Decimal(12), Decimal(24)}
    assert all("ZH" in {text.Language for text in row.to_Description} for row in rows)
    texts = products.get_entity(rows[0].Product).nav("to_Description").get_entities().execute()
    assert {text.Product for text in texts} == {rows[0].Product}


def test_documents_carry_date_time_and_items(sap: SapUser, session: requests.Session) -> None:
    posted = sap.move(kind="sale", material="100001", quantity="1")
    documents = client(sap, DOCUMENTS, session).entity_sets.A_MaterialDocumentHeader

    header = documents.get_entity(
        MaterialDocumentYear=posted["year"], MaterialDocument=posted["material_document"],
    ).expand("to_MaterialDocumentItem").execute()  # fmt: skip

    assert header.CreationDate.date().isoformat() == posted["created_at"][:10]
    assert header.CreationTime.startswith("PT")
    assert [item.GoodsMovementType for item in header.to_MaterialDocumentItem] == ["251"]


def test_a_document_is_created_and_cancelled(sap: SapUser, session: requests.Session) -> None:
    token = session.get(f"{sap.url}{ROOT}/{DOCUMENTS}/", headers={"X-CSRF-Token": "Fetch"}).headers["x-csrf-token"]
    session.headers["X-CSRF-Token"] = token
    service = client(sap, DOCUMENTS, session)
    before = sap.totals()
    request = service.entity_sets.A_MaterialDocumentHeader.create_entity()
    request.set(
        GoodsMovementCode="03",
        ReferenceDocument="SO-77",
        to_MaterialDocumentItem=[
            {
                "Material": "100001", "Plant": "1010", "StorageLocation": "101A", "GoodsMovementType": "251",
                "EntryUnit": "EA", "QuantityInEntryUnit": "2",
            },
        ],
    )  # fmt: skip

    created = request.execute()
    between = sap.totals()
    cancel = service.functions.Cancel.parameter("MaterialDocumentYear", created.MaterialDocumentYear)
    reversal = cancel.parameter("MaterialDocument", created.MaterialDocument).execute()

    place = ("1010/101A", "100001")
    assert Decimal(before[place]) - Decimal(between[place]) == 2
    assert sap.totals() == before
    assert reversal.ReferenceDocument == "SO-77"
    assert reversal.MaterialDocument != created.MaterialDocument


def test_a_wrong_password_is_refused(reading: SapUser, session: requests.Session) -> None:
    session.auth = (DEMO_USER, "wrong")

    with pytest.raises(pyodata.exceptions.HttpError):
        client(reading, STOCK, session)
