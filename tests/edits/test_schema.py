"""The JSON Schema accepts what the parser accepts, and refuses what is plainly wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dff.edits import parse_document
from dff.edits.document import MAX_STEPS
from dff.edits.schema import schema_text
from dff.errors import DffError

CONFIGS = Path(__file__).parents[2] / "configs"
SCHEMA = json.loads(schema_text())
APPLE = {"text": ["apple"]}
DELETE = {"type": "delete"}


def is_valid(data) -> bool:
    return Draft202012Validator(SCHEMA).is_valid(data)


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["steps"]["maxItems"] == MAX_STEPS


def test_it_says_what_every_field_is():
    for name, part in SCHEMA["$defs"].items():
        assert part["description"], name
        for field, about in part["properties"].items():
            assert about.get("description") or "const" in about, f"{name}.{field}"
    assert "world units" in SCHEMA["$defs"]["Transform"]["properties"]["translate"]["description"]


@pytest.mark.parametrize("path", sorted((CONFIGS / "edits").iterdir()), ids=lambda path: path.stem)
def test_examples_are_valid(path):
    assert is_valid(yaml.safe_load(path.read_text()))


@given(data=st.data())
def test_every_document_is_valid(documents, data):
    document = data.draw(documents)
    assert is_valid(document.model_dump(mode="json", exclude_none=True))
    assert is_valid(document.model_dump(mode="json"))


def document(selection=APPLE, operation=DELETE, **more):
    return {"version": 1, "steps": [{"selection": selection, "operation": operation, **more}]}


def tint(color):
    return document(operation={"type": "recolor", "function": "tint", "color": color})


@pytest.mark.parametrize(
    "data",
    [
        {"version": 1, "steps": []},
        document(selection={"text": "apple", "negative": "mug"}),
        document(selection={"click": "IMG_1:3,4"}),
        document(selection={"patch": "IMG_1", "patch_negative": []}),
        tint("red"),
        tint(" DarkOrange "),
        tint("#fff"),
        tint("#FF8000"),
        tint([0, 1, 0.5]),
        document(operation={"type": "transform", "pivot": [1, 2, 3], "translate": [1, 2, 3]}),
        document(operation={"type": "transform", "pivot": "base", "matrix": None}),
        document(operation={"type": "background", "color": None}),
        document(name=None, enabled=False),
    ],
)
def test_other_ways_to_write_it_are_valid_to_both(data):
    parse_document(data)
    assert is_valid(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"version": 1},
        {"steps": []},
        {"version": 2, "steps": []},
        {"version": 1, "steps": [], "more": 1},
        {"version": 1, "steps": [{}]},
        document(operation={}),
        document(operation={"type": "delet"}),
        document(operation={"type": "recolor", "degrees": 3}),
        document(operation={"function": "hue", "degrees": 3}),
        document(operation={"type": "recolor", "function": "hue", "degrees": 400}),
        document(operation={"type": "recolor", "function": "hue", "degrees": "3"}),
        document(operation={"type": "recolor", "function": "hue", "degrees": 3, "x": 1}),
        document(operation={"type": "recolor", "function": "channels", "order": "rgx"}),
        document(operation={"type": "recolor", "function": "curves", "all": [[0, 0]]}),
        document(operation={"type": "transform", "scale": 0}),
        document(operation={"type": "transform", "translate": [1, 2]}),
        document(operation={"type": "transform", "pivot": "centre"}),
        document(operation={"type": "transform", "matrix": [[1, 2, 3, 4]] * 3}),
        document(operation={"type": "duplicate", "count": 0}),
        document(operation={"type": "insert"}),
        document(selection={}),
        document(selection={"text": [], "negative": ["a"]}),
        document(selection={"text": "a", "click": "b:1,2"}),
        document(selection={"step": 0}),
        document(enabled="yes"),
        tint([0, 1]),
        tint([0, 1, 2]),
        tint("#ff"),
        tint(3),
    ],
)
def test_what_is_plainly_wrong_is_wrong_to_both(data):
    with pytest.raises(DffError):
        parse_document(data)
    assert not is_valid(data)
