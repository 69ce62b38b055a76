"""What a validation error means to the person who wrote the file: where, what is wanted there, what was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from shunter.topology.jsontext import half_characters, path_of, shown

Schema = Mapping[str, Any]
Location = tuple[int | str, ...]

_UNITS = {"_mib": "MiB", "_mbps": "Mbit/s", "_mib_per_s": "MiB/s", "_s": "seconds"}
_FILLED_IN = frozenset({"reserved_mib", "memory_startup_mib", "memory_maximum_mib", "owner"})
"""Required of a value, but not of a file."""

_MOST_NAMED = 12


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    *,
    within: Location = (),
    not_given: Callable[[Location], bool] = lambda _: False,
) -> list[str]:
    """A line for each offending field of `data`. `not_given`: of what was filled in for the file nothing is said."""
    found = error.errors(include_url=False)
    if found[0]["type"] == "json_invalid":
        broken = half_characters(data)
        return [f"{path}: holds half a character; write it anew" for path in broken] or [
            f"{path_of(within)}: is nested too deeply; give what you mean"
        ]
    said = [e for e in found if not not_given(tuple(e["loc"]))]
    if len(said) > 1:  # a list whose items are refused counts as too short as well
        said = [e for e in said if e["type"] != "too_short" or not e["input"]] or said
    return [f"{path_of((*within, *e['loc']))}: {_said(e, model)}" for e in said]


def listed(names: Iterable[str], alike: str = "") -> str:
    """Names in a message: all of a few; of many some, those that resemble `alike` among them."""
    known = list(names)
    if len(known) <= _MOST_NAMED:
        return ", ".join(known) if known else "none"
    near = near_names(alike, known)
    return ", ".join([*near, *(name for name in known if name not in near)][:_MOST_NAMED]) + ", …"


def near_names(name: str, known: Collection[str]) -> list[str]:
    """Which of these may be meant: alike as a whole, or as far as the name goes.

    Nothing for long lists: that takes more time than a message is worth.
    """
    if len(known) > 2000:
        return []
    name = name[:255].casefold()
    of: dict[str, str] = {}
    for each in known:
        of.setdefault(each[: len(name)].casefold(), each)
        of[each.casefold()] = each
    return list(dict.fromkeys(of[part] for part in get_close_matches(name, of, n=3, cutoff=0.7)))


def _said(error: Any, model: type[BaseModel]) -> str:
    location: Location = tuple(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return _no_such_field(str(location[-1]), _schema_at(model, location[:-1]))
        case "missing":
            return f"required: give {_brief(_wanted(_schema_at(model, location), location))}"
        case "value_error":  # a check of the model's own, which says what to do
            return str(error["msg"]).removeprefix("Value error, ")
        case kind:
            wanted = _wanted(_schema_at(model, location), location)
            is_text = kind.startswith("string_") and kind != "string_type"
            return f"must be {wanted if is_text else _brief(wanted)}, not {_quoted(error['input'])}"


def _brief(wanted: str) -> str:
    """Without what only matters to a text that is one already."""
    return wanted.partition(" (")[0]


def _no_such_field(name: str, schema: Schema) -> str:
    known = list(schema.get("properties", ()))
    near = near_names(name, known)
    if near:
        return f"no such field; did you mean {near[0]}?"
    return f"no such field; there are {', '.join(known)}" if known else "no such field; leave it out"


def _quoted(value: Any) -> str:
    return shown(json.dumps(value, ensure_ascii=False), 60)


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def _schema_at(model: type[BaseModel], location: Sequence[int | str]) -> Schema:
    """The JSON schema of the field there; empty where there is no such field."""
    whole = here = _schema(model)
    for part in location:
        here = here.get("items", {}) if isinstance(part, int) else here.get("properties", {}).get(part, {})
        kinds = [kind for kind in here.get("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            here = {**kinds[0], "nullable": True}
        if "$ref" in here:
            here = {**here, **whole["$defs"][here["$ref"].rpartition("/")[2]], "nullable": here.get("nullable", False)}
    return here


def _wanted(schema: Schema, location: Sequence[int | str]) -> str:
    """What belongs there, such as "a whole number of MiB from 1 to 2147483648"."""
    if "properties" in schema:
        needed = [name for name in schema.get("required", ()) if name not in _FILLED_IN]
        wanted = "an object in braces" + (f" with {', '.join(needed)}" if needed else "")
    elif "enum" in schema or "const" in schema:
        wanted = _one_of(schema.get("enum") or [schema["const"]])
    elif "description" in schema:
        wanted = schema["description"]
    else:
        name = next((part for part in reversed(location) if isinstance(part, str)), "")
        wanted = _of_type(schema, name)
    return f"{wanted}, or null" if schema.get("nullable") else wanted


def _one_of(values: Sequence[Any]) -> str:
    return str(values[0]) if len(values) == 1 else f"one of {', '.join(map(str, values))}"


def _of_type(schema: Schema, name: str) -> str:
    match schema.get("type"):
        case "integer" | "number" as kind:
            if (schema.get("minimum"), schema.get("maximum")) == (0, 1) and kind == "integer":
                return "0 or 1"
            unit = next((f" of {unit}" for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
            return f"a {'whole ' if kind == 'integer' else ''}number{unit}{_bounds(schema)}"
        case "boolean":
            return "true or false"
        case "array":
            least = schema.get("minItems", 0)
            return f"a list in brackets{f' of {least} or more' if least else ''}"
        case _:
            return "another value"


def _bounds(schema: Schema) -> str:
    least = f" from {schema['minimum']}" if "minimum" in schema else ""
    if "exclusiveMinimum" in schema:
        least = f" above {schema['exclusiveMinimum']}"
    return f"{least} to {_plain(schema['maximum'])}" if "maximum" in schema else least


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
