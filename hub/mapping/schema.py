"""The file format as a JSON Schema, for editors; the loader remains the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.mapping import spec
from hub.mapping.targets import RECORDS
from hub.mapping.transforms import TRANSFORMS
from hub.mapping.values import REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.mapping.transforms import Transform

_TRUE = {"enum": [True, "true"]}
_FLAG = {"enum": [True, False, "true", "false"]}
_TABLES = {"type": "object", "additionalProperties": {"$ref": "#/$defs/table"}}
_NOT_BLANK = {"type": "string", "pattern": "\\S"}


def mapping_schema(records: Mapping[str, type[Any]] = RECORDS) -> dict[str, Any]:
    """Return a JSON Schema (2020-12) of mapping files whose target is one of `records`.

    Editors read YAML with its own types, so a scalar may be a string, a number or a boolean here; the loader takes
    every one of them as the text that stands in the file.
    """
    properties = {
        "version": {"type": ["integer", "string"], "minimum": 1, "pattern": "^0*[1-9][0-9]*$"},
        "source": _object({"system": _NOT_BLANK, "object": _NOT_BLANK}, *spec.SOURCE_KEYS),
        "target": {"enum": sorted(records)},
        "tables": _TABLES,
        "external_tables": {"type": "array", "items": _NOT_BLANK, "minItems": 1},
        "example_tables": _TABLES,
        "fields": {"type": "object", "additionalProperties": {"$ref": "#/$defs/field"}},
        "keep_when": {"type": "object", "additionalProperties": {"$ref": "#/$defs/condition"}},
        "examples": {"type": "array", "items": {"$ref": "#/$defs/example"}, "minItems": 1},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Oneshelf mapping file",
        **_object(properties, "version", "source", "target", "fields", "examples"),
        "$defs": _definitions(),
    }


def _definitions() -> dict[str, Any]:
    scalar = {"type": ["string", "number", "boolean"]}
    return {
        "scalar": scalar,
        "words": {"type": "array", "items": {"$ref": "#/$defs/scalar"}, "minItems": 1},
        "table": {"type": "object", "additionalProperties": {"$ref": "#/$defs/scalar"}},
        "transform": {"anyOf": [_bare(), *(_with_argument(item) for item in TRANSFORMS.values() if item.argument)]},
        "field": {"oneOf": [_constant_field(), _read_field()]},
        "condition": _condition(),
        "example": _example(),
    }


def _bare() -> dict[str, Any]:
    names = [transform.name for transform in TRANSFORMS.values() if transform.bare]
    notes = "\n".join(f"{TRANSFORMS[name].name}: {TRANSFORMS[name].summary}" for name in names)
    return {"enum": names, "description": notes}


def _with_argument(transform: Transform) -> dict[str, Any]:
    return {**_object({transform.name: transform.argument}, transform.name), "description": transform.summary}


def _constant_field() -> dict[str, Any]:
    return _object({"const": {"$ref": "#/$defs/scalar"}}, "const")


def _read_field() -> dict[str, Any]:
    properties = {
        "from": {"oneOf": [_NOT_BLANK, {"type": "array", "items": _NOT_BLANK, "minItems": 1}]},
        "transform": {"type": "array", "items": {"$ref": "#/$defs/transform"}},
        "lookup": _NOT_BLANK,
        "default": {"$ref": "#/$defs/scalar"},
        "required": _FLAG,
    }
    return _object(properties, "from")


def _condition() -> dict[str, Any]:
    words, scalar = {"$ref": "#/$defs/words"}, {"$ref": "#/$defs/scalar"}
    properties = {"in": words, "not_in": words, "equals": scalar, "not_blank": _TRUE}
    return {**_object(properties), "minProperties": 1}


def _example() -> dict[str, Any]:
    out = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    properties = {"in": {"type": "object"}, "out": out, "skip": _TRUE, "error": {"enum": list(REASONS)}}
    results = [{"required": [key]} for key in ("out", "skip", "error")]
    return {**_object(properties, "in"), "oneOf": results}


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return {**schema, "required": list(required)} if required else schema
