"""The commands `oneshelf mappings …`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from hub.errors import ConfigError, OneshelfError
from hub.mapping import MappingErrors, diff_mappings, load_mapping, load_tree, mapping_schema
from hub.settings import load_settings
from oneshelf.console import console

mappings_app = typer.Typer(no_args_is_help=True, help="Check and try mapping files.")


@mappings_app.command("check")
def mappings_check() -> None:
    """Load every mapping file and run its examples."""
    try:
        files = load_tree(load_settings().mappings_dir)
    except MappingErrors as error:
        console.print(str(error), style="red", highlight=False, soft_wrap=True, markup=False)
        raise typer.Exit(1) from None
    for path, mapping in files.items():
        console.print(f"ok  {path}  {mapping.version}", highlight=False)


@mappings_app.command("test")
def mappings_test(file: Path, sample: Annotated[Path, typer.Argument(help="JSON: one raw record or a list")]) -> None:
    """Map the records of a sample file and show what comes out."""
    mapping, failed = _load(file), 0
    for number, raw in enumerate(_samples(sample), start=1):
        try:
            record = mapping.apply(raw)
            console.print(
                f"{number}: {'skipped' if record is None else escape(str(record))}", highlight=False, soft_wrap=True
            )
        except OneshelfError as error:
            failed += 1
            console.print(f"{number}: [red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@mappings_app.command("explain")
def mappings_explain(
    file: Path, record: Annotated[Path, typer.Argument(help="JSON: one raw record or a list")]
) -> None:
    """Show step by step how a record is mapped."""
    mapping = _load(file)
    for raw in _samples(record):
        table = Table("field", "read", "steps", "value", box=None, pad_edge=False)
        for step in mapping.explain(raw):
            read = ", ".join(f"{path}={value!r}" for path, value in step.inputs)
            steps = " → ".join(f"{name}: {value!r}" for name, value in step.results)
            value = f"[red]{escape(str(step.error))}[/]" if step.error else escape(repr(step.value))
            table.add_row(step.field, escape(read), escape(steps), value)
        console.print(table)


@mappings_app.command("diff")
def mappings_diff(old: Path, new: Path, sample: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Show what differs between two versions of a mapping file, and which samples come out differently."""
    differences = diff_mappings(old, new, _samples(sample) if sample else (), tables=_tables(old) | _tables(new))
    table = Table("kind", "what", "old", "new", box=None, pad_edge=False)
    for difference in differences:
        table.add_row(difference.kind, *map(escape, (difference.name, difference.old, difference.new)))
    console.print(table if differences else "no difference")


@mappings_app.command("schema")
def mappings_schema() -> None:
    """Print the JSON Schema of mapping files, for editors."""
    console.print_json(json.dumps(mapping_schema(), ensure_ascii=False))


def _load(file: Path) -> Any:  # noqa: ANN401 - a mapping
    return load_mapping(file).with_tables(_tables(file))


def _tables(file: Path) -> dict[str, dict[str, str]]:
    """Return the file's own `example_tables`, which stand in for the tables that a connector hands over."""
    mapping = load_mapping(file)
    return {name: dict(table.entries) for name, table in mapping.spec.example_tables.items()}


def _samples(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=str)
    except (OSError, ValueError) as error:
        raise ConfigError(f"not readable as JSON: {error}", file=str(path)) from error
    return content if isinstance(content, list) else [content]
