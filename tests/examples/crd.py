"""A Kubernetes resource held against its custom resource definition, as a strict API server does.

What the rules of the definition that are written in CEL (``x-kubernetes-validations``) say is not
looked at.
"""

from __future__ import annotations

from jsonschema import Draft7Validator

EVERY_RESOURCE = {"apiVersion": True, "kind": True, "metadata": {"type": "object"}}


def problems(resource: dict, definition: dict) -> list[str]:
    """Say what is wrong with a resource, each with its place, given its definition."""
    spec = definition["spec"]
    group, _, version = resource["apiVersion"].partition("/")
    served = {each["name"]: each["schema"] for each in spec["versions"] if each["served"]}
    if (group, resource["kind"]) != (spec["group"], spec["names"]["kind"]) or version not in served:
        return [f"{resource['apiVersion']} {resource['kind']} is not what is defined"]
    schema = json_schema(served[version]["openAPIV3Schema"])
    schema["properties"] |= EVERY_RESOURCE
    found = Draft7Validator(schema).iter_errors(resource)
    return sorted(f"{error.json_path}: {error.message}" for error in found)


def json_schema(structural: dict) -> dict:
    """Turn a structural schema into one of JSON Schema that refuses fields it does not name."""
    schema = {
        key: structural[key]
        for key in ("type", "enum", "pattern", "minimum", "maximum", "anyOf", "minItems")
        if key in structural
    }
    if structural.get("nullable"):
        schema["type"] = [schema["type"], "null"]
    if "items" in structural:
        schema["items"] = json_schema(structural["items"])
    if structural.get("type") != "object":
        return schema
    fields = structural.get("properties", {})
    schema["properties"] = {name: json_schema(each) for name, each in fields.items()}
    # The server fills defaults in before it looks for what is required.
    schema["required"] = [
        name for name in structural.get("required", []) if "default" not in fields[name]
    ]
    values = structural.get("additionalProperties", False)
    if structural.get("x-kubernetes-preserve-unknown-fields"):
        values = True
    schema["additionalProperties"] = json_schema(values) if isinstance(values, dict) else values
    return schema
