"""The closed set of named transforms, each a plain function from one value to another.

A transform never sees None: an absent value stays absent. Blank text goes through, so that `boolean` can name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stdnum import ean
from stdnum.exceptions import ValidationError

from hub.mapping import times
from hub.mapping.document import Plain
from hub.mapping.names import unknown
from hub.mapping.values import RefusedValueError, read_decimal, read_integer, read_text, show

Kind = Literal["any", "text", "decimal", "integer", "boolean", "date", "datetime"]
Argument = Plain
Function = Callable[[Any], Any]

_TEXTUAL: frozenset[Kind] = frozenset({"any", "text"})
_NUMERIC: frozenset[Kind] = frozenset({"any", "text", "decimal", "integer"})
_TRUE = frozenset({"true", "True", "TRUE", "X", "1"})
_FALSE = frozenset({"false", "False", "FALSE", "", "0"})
_LONGEST = 1000
_TEXT = {"type": "string"}
_COUNT = {"type": ["integer", "string"], "pattern": "^[1-9][0-9]*$", "minimum": 1, "maximum": _LONGEST}
_TEXTS = {"type": "array", "items": {"$ref": "#/$defs/scalar"}, "minItems": 1}


@dataclass(frozen=True, slots=True)
class Transform:
    """A named transform: what it takes and gives, how it is built, and how its argument may look in a file.

    Attributes:
        build: makes the function from the argument; raises ValueError with a message that names what is allowed.
        argument: JSON Schema of the argument, None when the transform takes none.
        bare: whether the name alone is allowed.
    """

    name: str
    summary: str
    build: Callable[[Argument], Function]
    takes: frozenset[Kind] = _TEXTUAL
    gives: Kind = "text"
    argument: Mapping[str, Any] | None = field(default=None, hash=False)
    bare: bool = True


def _strip(value: Any) -> str:  # noqa: ANN401
    return value.strip() if type(value) is str else read_text(value).strip()


def _upper(value: Any) -> str:  # noqa: ANN401
    return read_text(value).upper()


def _lower(value: Any) -> str:  # noqa: ANN401
    return read_text(value).lower()


def _trailing_minus(value: Any) -> Any:  # noqa: ANN401
    """Move SAP's minus to the front: `5.000-` becomes `-5.000`; a value that is no text stays as it is."""
    if isinstance(value, str) and value.endswith("-"):
        number = value[:-1].rstrip()
        if number[:1] in {"-", "+"}:
            raise RefusedValueError(reason="bad_number", detail=f"{show(value)} has two signs")
        return f"-{number}"
    return value


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _strip_zeros(value: Any) -> str:  # noqa: ANN401
    """Take the leading zeros off a number, as SAP's conversion exit ALPHA does on output; other text stays."""
    text = read_text(value)
    return (text.lstrip("0") or "0") if _is_digits(text) else text


def _gtin(value: Any) -> str | None:  # noqa: ANN401
    text = read_text(value)
    if not text.strip():
        return None
    try:
        return ean.validate(text)
    except ValidationError as error:
        raise RefusedValueError(
            reason="bad_gtin", detail=f"{show(value)} is no GTIN-8, -12, -13 or -14: {error}"
        ) from None


def _plain(function: Function) -> Callable[[Argument], Function]:
    return lambda _argument: function


def _build_boolean(argument: Argument) -> Function:
    options = _options("boolean", argument, {"true", "false"})
    if options and set(options) != {"true", "false"}:
        message = "boolean needs both lists: true and false"
        raise ValueError(message)
    true = frozenset(_list("boolean true", options["true"])) if options else _TRUE
    false = frozenset(_list("boolean false", options["false"])) if options else _FALSE
    both = sorted(true & false)
    if both:
        message = f"boolean lists {both[0]!r} as true and as false"
        raise ValueError(message)

    def read(value: Any) -> bool:  # noqa: ANN401
        text = read_text(value)
        if text in true:
            return True
        if text in false:
            return False
        known = ", ".join(repr(word) for word in sorted(true | false))
        raise RefusedValueError(reason="bad_boolean", detail=f"{show(value)} is not one of {known}")

    return read


def _build_pad_zeros(argument: Argument) -> Function:
    length = _count("pad_zeros", argument)

    def pad(value: Any) -> str:  # noqa: ANN401
        text = read_text(value)
        return text.zfill(length) if _is_digits(text) else text

    return pad


def _build_truncate(argument: Argument) -> Function:
    length = _count("truncate", argument)
    return lambda value: read_text(value)[:length]


def _build_replace(argument: Argument) -> Function:
    options = _options("replace", argument, {"old", "new"})
    old, new = options.get("old"), options.get("new")
    if not isinstance(old, str) or not isinstance(new, str) or not old:
        message = 'replace needs {old: "text", new: "text"}, and old must not be blank'
        raise ValueError(message)
    return lambda value: read_text(value).replace(old, new)


def _build_null_if(argument: Argument) -> Function:
    blanks = frozenset(_list("null_if", argument))
    return lambda value: None if read_text(value) in blanks else value


def _build_join(argument: Argument) -> Function:
    if not isinstance(argument, str):
        message = 'join needs its separator, for instance {join: "|"}'
        raise ValueError(message)  # noqa: TRY004 - a mistake in a file, not in the program
    return argument.join


def _timed(
    build: Callable[[Mapping[str, str]], Function], name: str, allowed: set[str]
) -> Callable[[Argument], Function]:
    def make(argument: Argument) -> Function:
        options = _options(name, argument, allowed)
        for key, value in options.items():
            if not isinstance(value, str):
                message = f"{name} {key} must be text"
                raise ValueError(message)  # noqa: TRY004 - a mistake in a file, not in the program
        return build(options)

    return make


def _options(name: str, argument: Argument, allowed: set[str]) -> dict[str, Any]:
    if argument is None:
        return {}
    if not isinstance(argument, dict):
        message = f"{name} takes options: {', '.join(sorted(allowed))}"
        raise ValueError(message)  # noqa: TRY004 - a mistake in a file, not in the program
    for key in argument:
        if key not in allowed:
            raise ValueError(unknown(f"option of {name}", key, allowed))
    return argument


def _list(name: str, argument: object) -> list[str]:
    if not isinstance(argument, list) or not argument or not all(isinstance(word, str) for word in argument):
        message = f'{name} needs a list of texts, for instance [X, ""]'
        raise ValueError(message)
    return argument


def _count(name: str, argument: Argument) -> int:
    text = argument.get("n") if isinstance(argument, dict) and set(argument) == {"n"} else argument
    if not isinstance(text, str) or not _is_digits(text) or not 1 <= int(text) <= _LONGEST:
        message = f"{name} needs a whole number from 1 to {_LONGEST}, for instance {{{name}: 18}}"
        raise ValueError(message)
    return int(text)


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return {**schema, "required": list(required)} if required else schema


_COUNTED = {"oneOf": [_COUNT, _object({"n": _COUNT}, "n")]}
_ALL = (
    Transform("strip", "Take white space off both ends.", _plain(_strip)),
    Transform("upper", "Write in upper case.", _plain(_upper)),
    Transform("lower", "Write in lower case.", _plain(_lower)),
    Transform("decimal", "Read an exact decimal number.", _plain(read_decimal), _NUMERIC, "decimal"),
    Transform("integer", "Read a whole number.", _plain(read_integer), _NUMERIC, "integer"),
    Transform("trailing_minus", "Move SAP's trailing minus to the front.", _plain(_trailing_minus), gives="any"),
    Transform("strip_zeros", "Take leading zeros off a number (ALPHA).", _plain(_strip_zeros)),
    Transform(
        "pad_zeros", "Fill a number with leading zeros (ALPHA).", _build_pad_zeros, argument=_COUNTED, bare=False
    ),
    Transform(
        "boolean",
        "Read true or false from closed lists of words.",
        _build_boolean,
        gives="boolean",
        argument=_object({"true": _TEXTS, "false": _TEXTS}, "true", "false"),
    ),
    Transform(
        "date",
        "Read a day; blank and initial dates are absent.",
        _timed(times.make_date, "date", {"format"}),
        gives="date",
        argument=_object({"format": _TEXT}),
    ),
    Transform(
        "datetime",
        "Read a time into UTC; text without an offset is in the zone tz.",
        _timed(times.make_datetime, "datetime", {"tz", "format"}),
        gives="datetime",
        argument=_object({"tz": _TEXT, "format": _TEXT}),
    ),
    Transform(
        "odata_datetime",
        "Read OData's /Date(ms)/ or ISO text into UTC.",
        _timed(times.make_odata_datetime, "odata_datetime", {"tz"}),
        gives="datetime",
        argument=_object({"tz": _TEXT}),
    ),
    Transform(
        "odata_date", "Read the day of OData's /Date(ms)/ or of ISO text.", _plain(times.read_odata_date), gives="date"
    ),
    Transform("gtin", "Check the check digit of a GTIN-8, -12, -13 or -14.", _plain(_gtin)),
    Transform("join", "Put several sources together, without blank ones.", _build_join, argument=_TEXT, bare=False),
    Transform("truncate", "Keep the first n characters.", _build_truncate, argument=_COUNTED, bare=False),
    Transform(
        "replace",
        "Replace a text by another wherever it stands.",
        _build_replace,
        argument=_object({"old": {"$ref": "#/$defs/scalar"}, "new": {"$ref": "#/$defs/scalar"}}, "old", "new"),
        bare=False,
    ),
    Transform(
        "null_if", "Take the listed values for absent.", _build_null_if, gives="any", argument=_TEXTS, bare=False
    ),
)
TRANSFORMS: Mapping[str, Transform] = {transform.name: transform for transform in _ALL}
"""Every transform by its name in a mapping file."""
