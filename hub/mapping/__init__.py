"""Mapping files: YAML data that proves itself, compiled into fast functions from raw records to hub records."""

from __future__ import annotations

from hub.mapping.diff import Difference, diff_mappings
from hub.mapping.engine import Mapping
from hub.mapping.loader import MappingErrors, load_mapping, load_tree
from hub.mapping.schema import mapping_schema
from hub.mapping.targets import RECORDS, ArticleRow, BarcodeRow, MovedKey
from hub.mapping.trace import Step
from hub.mapping.values import REASONS

__all__ = [
    "REASONS",
    "RECORDS",
    "ArticleRow",
    "BarcodeRow",
    "Difference",
    "Mapping",
    "MappingErrors",
    "MovedKey",
    "Step",
    "diff_mappings",
    "load_mapping",
    "load_tree",
    "mapping_schema",
]
