"""The XML documents that describe a service: `$metadata` (EDMX) and the service document."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from sandbox.erp.sap.model import DATE_TIME, DECIMAL, TIME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.erp.sap.model import EntitySet, FunctionImport, Navigation, Property, Service

_EDMX = "http://schemas.microsoft.com/ado/2007/06/edmx"
_EDM = "http://schemas.microsoft.com/ado/2008/09/edm"
_METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
_SAP = "http://www.sap.com/Protocols/SAPData"


def render_metadata(service: Service) -> bytes:
    """Render the EDMX of a service: entity types, associations, function imports and the container."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<edmx:Edmx Version="1.0" xmlns:edmx="{_EDMX}" xmlns:m="{_METADATA}" xmlns:sap="{_SAP}">',
        '<edmx:DataServices m:DataServiceVersion="2.0">',
        f'<Schema Namespace={quoteattr(service.name)} xml:lang="en" xmlns="{_EDM}">',
    ]
    for entity_set in service.sets:
        lines.extend(_entity_type(service, entity_set))
    for entity_set in service.sets:
        for navigation in entity_set.navigations:
            lines.extend(_association(service, entity_set, navigation))
    lines.extend(_container(service))
    lines.append("</Schema></edmx:DataServices></edmx:Edmx>")
    return "\n".join(lines).encode()


def render_service_document(service: Service, base: str) -> bytes:
    """Render the service document that lists the entity sets; `base` is the service's absolute URL."""
    collections = "".join(
        f'<app:collection href="{entity_set.name}"><atom:title>{entity_set.name}</atom:title></app:collection>'
        for entity_set in service.sets
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<app:service xml:base={quoteattr(base)} xmlns:app="http://www.w3.org/2007/app" '
        'xmlns:atom="http://www.w3.org/2005/Atom">'
        f"<app:workspace><atom:title>Data</atom:title>{collections}</app:workspace></app:service>"
    ).encode()


def _entity_type(service: Service, entity_set: EntitySet) -> Iterator[str]:
    yield f'<EntityType Name="{entity_set.type_name}" sap:content-version="1">'
    yield "<Key>" + "".join(f'<PropertyRef Name="{prop.name}"/>' for prop in entity_set.keys) + "</Key>"
    for prop in entity_set.properties:
        yield _property(prop)
    for navigation in entity_set.navigations:
        association = _association_name(entity_set, navigation)
        yield (
            f'<NavigationProperty Name="{navigation.name}" Relationship="{service.name}.{association}" '
            f'FromRole="From_{association}" ToRole="To_{association}"/>'
        )
    yield "</EntityType>"


def _property(prop: Property) -> str:
    attributes = [f'Name="{prop.name}"', f'Type="{prop.type}"']
    if prop.key:
        attributes.append('Nullable="false"')
    if prop.length is not None:
        attributes.append(f'MaxLength="{prop.length}"')
    if prop.type == DECIMAL:
        attributes.append(f'Precision="{prop.precision}" Scale="{prop.scale}"')
    if prop.type == DATE_TIME:
        attributes.append('Precision="0" sap:display-format="Date"')
    if prop.type == TIME:
        attributes.append('Precision="0"')
    if prop.numeric:
        attributes.append('sap:display-format="NonNegative"')
    return f"<Property {' '.join(attributes)}/>"


def _association_name(entity_set: EntitySet, navigation: Navigation) -> str:
    return f"assoc_{entity_set.name}_{navigation.name}"


def _association(service: Service, entity_set: EntitySet, navigation: Navigation) -> Iterator[str]:
    name = _association_name(entity_set, navigation)
    target = service.set_by_name[navigation.target]
    yield f'<Association Name="{name}">'
    yield f'<End Type="{service.name}.{entity_set.type_name}" Multiplicity="1" Role="From_{name}"/>'
    multiplicity = "*" if navigation.many else "0..1"
    yield f'<End Type="{service.name}.{target.type_name}" Multiplicity="{multiplicity}" Role="To_{name}"/>'
    yield "</Association>"


def _container(service: Service) -> Iterator[str]:
    yield (
        f'<EntityContainer Name="{service.name}_Entities" m:IsDefaultEntityContainer="true" '
        'sap:supported-formats="json">'
    )
    for entity_set in service.sets:
        creatable = "" if entity_set.creatable else ' sap:creatable="false"'
        yield (
            f'<EntitySet Name="{entity_set.name}" EntityType="{service.name}.{entity_set.type_name}"'
            f'{creatable} sap:updatable="false" sap:deletable="false"/>'
        )
    for entity_set in service.sets:
        for navigation in entity_set.navigations:
            name = _association_name(entity_set, navigation)
            yield f'<AssociationSet Name="{name}_set" Association="{service.name}.{name}">'
            yield f'<End EntitySet="{entity_set.name}" Role="From_{name}"/>'
            yield f'<End EntitySet="{navigation.target}" Role="To_{name}"/>'
            yield "</AssociationSet>"
    for function in service.functions:
        yield from _function_import(service, function)
    yield "</EntityContainer>"


def _function_import(service: Service, function: FunctionImport) -> Iterator[str]:
    returned = service.set_by_name[function.returns]
    yield (
        f'<FunctionImport Name="{function.name}" ReturnType="{service.name}.{returned.type_name}" '
        f'EntitySet="{returned.name}" m:HttpMethod="POST">'
    )
    for name, edm_type in function.parameters:
        precision = ' Precision="0"' if edm_type == DATE_TIME else ""
        yield f'<Parameter Name="{name}" Type="{edm_type}" Mode="In"{precision}/>'
    yield "</FunctionImport>"
