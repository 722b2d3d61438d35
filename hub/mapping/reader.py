"""Turn a mapping file's text into a `MappingSpec`; refuse every key that is not known, with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from hub.errors import MappingError
from hub.mapping import spec
from hub.mapping.document import Block, Scalar, Sequence, parse_document, to_plain
from hub.mapping.names import unknown
from hub.mapping.transforms import TRANSFORMS
from hub.mapping.values import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hub.mapping.document import Node

_T = TypeVar("_T")
_EXAMPLE_HINT = 'an example needs `in` and one of: out: {…}, skip: "true", error: REASON'


def read_spec(text: str, file: str) -> spec.MappingSpec:
    """Parse and check a mapping file by itself, without its target.

    Raises:
        MappingError: the first mistake, with file and line.
    """
    return _Reader(file).mapping(parse_document(text, file))


class _Reader:
    """Knows the file's name, so that every refusal carries it."""

    def __init__(self, file: str) -> None:
        self._file = file

    def mapping(self, top: Block) -> spec.MappingSpec:
        self._check_keys(top, spec.FILE_KEYS, "key")
        source = self._block(self._need(top, "source"), "source")
        self._check_keys(source, spec.SOURCE_KEYS, "key of source")
        fields = self._block(self._need(top, "fields"), "fields")
        target = self._need(top, "target")
        return spec.MappingSpec(
            file=self._file,
            version=self._version(self._need(top, "version")),
            system=self._filled(self._need(source, "system"), "source.system"),
            object=self._filled(self._need(source, "object"), "source.object"),
            target=self._filled(target, "target"),
            target_line=target.line,
            tables=self._tables(top, "tables"),
            external_tables=self._external(top),
            example_tables=self._tables(top, "example_tables"),
            fields=tuple(self._field(name, node, fields.key_lines[name]) for name, node in fields.entries.items()),
            fields_line=fields.line,
            keep_when=tuple(self._keep_when(top)),
            examples=self._examples(self._need(top, "examples")),
        )

    def _version(self, node: Node) -> str:
        text = self._text(node, "version")
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            self._refuse(f"version must be a whole number from 1 up, not {text!r}", node.line)
        return text

    def _tables(self, top: Block, key: str) -> dict[str, spec.Table]:
        if key not in top.entries:
            return {}
        tables = self._block(top.entries[key], key)
        return {name: self._table(name, self._block(node, f"table {name!r}")) for name, node in tables.entries.items()}

    def _table(self, name: str, block: Block) -> spec.Table:
        entries = {key: self._text(value, f"{name}.{key}") for key, value in block.entries.items()}
        return spec.Table(name, entries, dict(block.key_lines), block.line)

    def _external(self, top: Block) -> tuple[str, ...]:
        node = top.entries.get("external_tables")
        return () if node is None else self._words(node, "external_tables")

    def _field(self, name: str, node: Node, line: int) -> spec.FieldSpec:
        block = self._block(node, f"field {name!r}")
        self._check_keys(block, spec.FIELD_KEYS, f"key of field {name!r}")
        self._check_field_sense(name, block, line)
        source = block.entries.get("from")
        several = isinstance(source, Sequence)
        sources = () if source is None else self._words(source, "from") if several else (self._filled(source, "from"),)
        return spec.FieldSpec(
            name=name,
            line=line,
            sources=sources,
            several=several,
            transforms=self._transforms(block.entries.get("transform")),
            lookup=self._optional(block, "lookup", self._filled),
            default=self._optional(block, "default", self._text),
            const=self._optional(block, "const", self._text),
            required=self._optional(block, "required", self._flag) or False,
            lines=dict(block.key_lines),
        )

    def _check_field_sense(self, name: str, block: Block, line: int) -> None:
        keys = set(block.entries)
        if "const" in keys and keys != {"const"}:
            self._refuse(f"field {name!r}: const stands alone; take out {', '.join(sorted(keys - {'const'}))}", line)
        if not keys & {"const", "from"}:
            self._refuse(f"field {name!r} needs from: RAW_FIELD or const: VALUE", line)
        if "default" in keys and self._optional(block, "required", self._flag):
            self._refuse(f"field {name!r}: required and default exclude each other", block.key_lines["default"])

    def _transforms(self, node: Node | None) -> tuple[spec.TransformSpec, ...]:
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            self._refuse("transform is a list, for instance [strip, upper]", node.line)
        return tuple(self._transform(item) for item in node.items)

    def _transform(self, node: Node) -> spec.TransformSpec:
        if isinstance(node, Block) and len(node.entries) == 1:
            name, argument = next(iter(node.entries.items()))
            plain = to_plain(argument)
        elif isinstance(node, Scalar):
            name, plain = node.text, None
        else:
            self._refuse("a transform is a name or {name: argument}", node.line)
        if name not in TRANSFORMS:
            self._refuse(unknown("transform", name, TRANSFORMS), node.line)
        if plain is not None and TRANSFORMS[name].argument is None:
            self._refuse(f"transform {name} takes no argument", node.line)
        return spec.TransformSpec(name, plain, node.line)

    def _keep_when(self, top: Block) -> Iterable[spec.Condition]:
        if "keep_when" not in top.entries:
            return
        for path, node in self._block(top.entries["keep_when"], "keep_when").entries.items():
            block = self._block(node, f"keep_when {path!r}")
            self._check_keys(block, spec.CONDITION_KEYS, f"condition on {path!r}")
            if not block.entries:
                self._refuse(f"keep_when {path!r} needs one of: {', '.join(spec.CONDITION_KEYS)}", block.line)
            for operator, value in block.entries.items():
                yield spec.Condition(path, operator, self._condition_words(operator, value), value.line)

    def _condition_words(self, operator: str, node: Node) -> frozenset[str]:
        if operator in {"in", "not_in"}:
            return frozenset(self._words(node, operator))
        if operator == "equals":
            return frozenset({self._text(node, operator)})
        if not self._flag(node, operator):
            self._refuse("not_blank can only be true", node.line)
        return frozenset()

    def _examples(self, node: Node) -> tuple[spec.Example, ...]:
        if not isinstance(node, Sequence) or not node.items:
            self._refuse("examples is a list with at least one example: a mapping file proves itself", node.line)
        examples = tuple(self._example(item) for item in node.items)
        if all(example.out is None for example in examples):
            self._refuse("at least one example must have `out`: a mapping file proves itself", node.line)
        return examples

    def _example(self, node: Node) -> spec.Example:
        block = self._block(node, "example")
        self._check_keys(block, spec.EXAMPLE_KEYS, "key of an example")
        if "in" not in block.entries or len(block.entries) != 2:  # noqa: PLR2004 - `in` and its result
            self._refuse(_EXAMPLE_HINT, block.line)
        raw = to_plain(self._block(block.entries["in"], "in"))
        out = self._block(block.entries["out"], "out") if "out" in block.entries else None
        if "skip" in block.entries and not self._flag(block.entries["skip"], "skip"):
            self._refuse(_EXAMPLE_HINT, block.line)
        return spec.Example(
            raw=raw if isinstance(raw, dict) else {},
            line=block.line,
            out=None if out is None else {key: self._nullable(value, key) for key, value in out.entries.items()},
            out_lines={} if out is None else dict(out.key_lines),
            skip="skip" in block.entries,
            error=self._optional(block, "error", self._reason),
        )

    def _reason(self, node: Node, what: str) -> str:
        reason = self._text(node, what)
        if reason not in REASONS:
            self._refuse(unknown("reason", reason, REASONS), node.line)
        return reason

    def _check_keys(self, block: Block, allowed: tuple[str, ...], what: str) -> None:
        for key in block.entries:
            if key not in allowed:
                self._refuse(unknown(what, key, allowed), block.key_lines[key])

    def _need(self, block: Block, key: str) -> Node:
        if key not in block.entries:
            self._refuse(f"the key {key!r} is missing", block.line)
        return block.entries[key]

    def _optional(self, block: Block, key: str, read: Callable[[Node, str], _T]) -> _T | None:
        node = block.entries.get(key)
        return None if node is None else read(node, key)

    def _block(self, node: Node, what: str) -> Block:
        if not isinstance(node, Block):
            self._refuse(f"{what} must be a mapping", node.line)
        return node

    def _text(self, node: Node, what: str) -> str:
        if not isinstance(node, Scalar):
            self._refuse(f"{what} must be one value", node.line)
        if node.null:
            self._refuse(f'{what} is null: write "" for blank text, or quote the word', node.line)
        return node.text

    def _filled(self, node: Node, what: str) -> str:
        text = self._text(node, what)
        if not text.strip():
            self._refuse(f"{what} must not be blank", node.line)
        return text

    def _nullable(self, node: Node, what: str) -> str | None:
        return None if isinstance(node, Scalar) and node.null else self._text(node, what)

    def _words(self, node: Node, what: str) -> tuple[str, ...]:
        if not isinstance(node, Sequence) or not node.items:
            self._refuse(f"{what} must be a list with at least one value", node.line)
        return tuple(self._text(item, what) for item in node.items)

    def _flag(self, node: Node, what: str) -> bool:
        text = self._text(node, what)
        if text not in {"true", "false"}:
            self._refuse(f"{what} must be true or false, not {text!r}", node.line)
        return text == "true"

    def _refuse(self, message: str, line: int) -> NoReturn:
        raise MappingError(message, file=self._file, line=line)
