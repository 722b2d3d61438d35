"""A stand-in for SAP S/4HANA's OData V2 services: material stock, material documents and products.

`app.create_app` builds the ASGI app. It keeps its own books in SQLite, posts goods movements as material documents,
answers as an SAP Gateway does (paging, error shapes, CSRF, dates) and can be made to fail in every way listed in
`faults.FAULTS`.

Known gaps, on purpose: entities are answered in JSON only (a request that asks for neither `$format=json` nor
`Accept: application/json` gets error 501 where a real Gateway would have answered Atom), there is no `$batch`, and
only the properties that matter to a retailer are modelled. `$metadata` and the service document are XML as usual.
"""
