"""Parameters: a dataclass says what there is; from it comes the JSON Schema that the host checks."""

import dataclasses
import json
import types
import typing

from .failures import InvalidParameter

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def param(doc, default=dataclasses.MISSING, **rules):
    """A parameter: one sentence for people, a default unless it is required, and JSON Schema's words (`minimum`...)."""
    metadata = {"doc": doc, "rules": rules}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _schema_of(kind):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _TYPES:
        return {"type": _TYPES[kind]}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType) and type(None) in arguments:
        inner = _schema_of(next(one for one in arguments if one is not type(None)))
        return {**inner, "type": [inner["type"], "null"]} if "type" in inner else inner
    raise TypeError(f"a parameter cannot be of type {kind}")


def _default(field):
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING


def schema(parameters):
    """The JSON Schema of a parameter class; empty where there is none."""
    if parameters is None:
        return ""
    hints = typing.get_type_hints(parameters)
    properties, required = {}, []
    for field in dataclasses.fields(parameters):
        one = {**_schema_of(hints[field.name]), **field.metadata.get("rules", {})}
        if "doc" in field.metadata:
            one["description"] = field.metadata["doc"]
        default = _default(field)
        if default is dataclasses.MISSING:
            required.append(field.name)
        else:
            one["default"] = default
        properties[field.name] = one
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": properties}
    return json.dumps({**whole, "required": required, "additionalProperties": False})


def _fits(value, kind):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return isinstance(value, list) and all(_fits(one, arguments[0]) for one in value)
    if origin is typing.Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def parse(parameters, text):
    """Reads parameters from JSON, with the defaults of what is not there."""
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidParameter(f"the parameters are not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidParameter("the parameters are not a JSON object")
    if parameters is None:
        if given:
            raise InvalidParameter(f"unknown parameter `{next(iter(given))}`; there are none")
        return None
    hints, taken = typing.get_type_hints(parameters), {}
    for field in dataclasses.fields(parameters):
        if field.name not in given:
            if _default(field) is dataclasses.MISSING:
                raise InvalidParameter(f"the parameter `{field.name}` is missing")
            continue
        value, rules = given.pop(field.name), field.metadata.get("rules", {})
        if not _fits(value, hints[field.name]):
            raise InvalidParameter(f"`{field.name}` cannot be {json.dumps(value)}")
        if "minimum" in rules and value < rules["minimum"] or "maximum" in rules and value > rules["maximum"]:
            raise InvalidParameter(f"`{field.name}` cannot be {value}: it is out of range")
        taken[field.name] = float(value) if hints[field.name] is float else value
    if given:
        raise InvalidParameter(f"unknown parameter `{next(iter(given))}`")
    return parameters(**taken)
