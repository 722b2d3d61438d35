"""Read YAML as plain text: every scalar a string, every node with its line, no key twice.

YAML's own types are traps for business data: `NO` would be False, `0012` ten, `3.0` a float, and of two equal keys the
last would win in silence. Anchors, aliases and tags are refused: what stands in the file is what counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from hub.errors import MappingError

if TYPE_CHECKING:
    from pathlib import Path

    from yaml.nodes import Node as YamlNode

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
"""What YAML reads as null when it stands unquoted."""

Plain = str | list["Plain"] | dict[str, "Plain"] | None
"""A node without its lines."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. `null` tells that it was an unquoted null."""

    text: str
    line: int
    null: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping with unique text keys, in the order of the file."""

    entries: dict[str, Node]
    key_lines: dict[str, int]
    line: int


Node = Scalar | Sequence | Block


def parse_document(text: str, file: str) -> Block:
    """Parse one YAML document whose top is a mapping.

    Raises:
        MappingError: no YAML, more than one document, a duplicate key, an anchor, an alias, a tag, or another top.
    """
    try:
        _refuse_references(text, file)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise _syntax_error(error, file) from error
    if not isinstance(root, MappingNode):
        message = "a mapping file is a YAML mapping with the keys version, source, target, fields, examples"
        raise MappingError(message, file=file, line=1)
    return _block(root, file)


def load_document(path: Path) -> Block:
    """Read and parse the YAML document of a file.

    Raises:
        MappingError: it can't be read, or as `parse_document`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"the file can't be read as UTF-8 text: {error}", file=str(path)) from error
    return parse_document(text, str(path))


def to_plain(node: Node) -> Plain:
    """Return the node as dicts, lists and texts; an unquoted null is None."""
    if isinstance(node, Scalar):
        return None if node.null else node.text
    if isinstance(node, Sequence):
        return [to_plain(item) for item in node.items]
    return {key: to_plain(value) for key, value in node.entries.items()}


def _refuse_references(text: str, file: str) -> None:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line = 1 if mark is None else mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            message = f"alias *{event.anchor} is not allowed: write the value itself"
            raise MappingError(message, file=file, line=line)
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            message = f"anchor &{anchor} is not allowed: write each value where it is used"
            raise MappingError(message, file=file, line=line)
        if tag is not None:
            message = f"tag {tag} is not allowed: every value is text"
            raise MappingError(message, file=file, line=line)


def _syntax_error(error: Exception, file: str) -> MappingError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return MappingError(f"not valid YAML: {problem}", file=file, line=mark.line + 1 if mark else None)


def _node(node: YamlNode, file: str) -> Node:
    if isinstance(node, MappingNode):
        return _block(node, file)
    line = node.start_mark.line + 1
    if isinstance(node, SequenceNode):
        return Sequence(tuple(_node(item, file) for item in node.value), line)
    null = getattr(node, "style", None) is None and node.value in NULLS
    return Scalar(node.value, line, null)


def _block(node: MappingNode, file: str) -> Block:
    entries: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            message = "a key must be text"
            raise MappingError(message, file=file, line=line)
        if key.value in entries:
            message = f"duplicate key {key.value!r}: it already stands in line {lines[key.value]}"
            raise MappingError(message, file=file, line=line)
        entries[key.value] = _node(value, file)
        lines[key.value] = line
    return Block(entries, lines, node.start_mark.line + 1)
