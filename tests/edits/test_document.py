"""Documents: what they hold, that they come back as they were, and what is said of bad ones."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dff.edits import (
    Delete,
    EditDocument,
    EditStep,
    Extract,
    Greyscale,
    HueShift,
    Opacity,
    SaturationScale,
    SetColor,
    TextSelection,
    Tint,
    ValueScale,
    load_document,
    parse_document,
    save_document,
)
from dff.errors import DffError

EXAMPLE = """
version: 1
steps:
  - name: remove the apple
    selection: {text: [apple], negative: [banana, table], threshold: 0.5, softness: 0.05}
    operation: {type: delete}
  - enabled: false
    selection: {text: banana}
    operation: {type: recolor, function: hue, degrees: 120}
  - selection: {text: [mug]}
    operation: {type: recolor, function: set, color: "#ff8000"}
"""


def test_the_example_is_read(tmp_path):
    path = tmp_path / "edits.yaml"
    path.write_text(EXAMPLE)
    document = load_document(path)
    assert [step.operation for step in document.steps] == [
        Delete(),
        HueShift(degrees=120),
        SetColor(color=(1.0, 128 / 255, 0.0)),
    ]
    assert document.steps[0].selection == TextSelection(
        text=("apple",), negative=("banana", "table"), threshold=0.5
    )
    assert document.steps[1].selection.text == ("banana",)
    assert [step.enabled for step in document.steps] == [True, False, True]
    query = document.steps[0].selection.query()
    assert (query.positives, query.negatives) == (("apple",), ("banana", "table"))


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@given(data=st.data())
def test_round_trip_is_exact(documents, data, suffix, tmp_path):
    document = data.draw(documents)
    path = tmp_path / f"edits{suffix}"
    save_document(document, path)
    again = load_document(path)
    assert again == document
    # Equality takes -0.0 for 0.0 and numbers for true; the bits must come back too.
    assert again.model_dump_json() == document.model_dump_json()
    first = path.read_bytes()
    save_document(again, path)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["delete", "recolor", "hue", "apple", "#fff", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "degrees", "color", "text", "negative", "name"])
            | st.text(max_size=3)
            | st.integers(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
nearly_steps = st.fixed_dictionaries(
    {},
    optional={
        "name": plain,
        "enabled": plain,
        "selection": plain | st.just({"text": ["apple"]}),
        "operation": plain | st.just({"type": "delete"}),
    },
)
nearly_documents = st.one_of(
    plain,
    st.fixed_dictionaries({"version": plain, "steps": plain}, optional={"other": plain}),
    st.fixed_dictionaries(
        {"version": st.just(1), "steps": st.lists(nearly_steps | plain, max_size=3)}
    ),
)


@settings(max_examples=200)
@given(nearly_documents)
def test_anything_is_a_document_or_one_clear_line(data):
    message = ""
    try:
        assert isinstance(parse_document(data), EditDocument)
    except DffError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 700


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass"))
    | st.sampled_from(
        [b"!!int ''", b"!!float x", b"!!bool x", b"!!timestamp x", b"2020-13-45", b"? [a]\n: b"]
    ),
    st.sampled_from([".yaml", ".json"]),
)
def test_any_file_is_a_document_or_one_clear_line(tmp_path, content, suffix):
    path = tmp_path / f"edits{suffix}"
    path.write_bytes(content)
    with pytest.raises(DffError) as caught:
        load_document(path)
    assert "\n" not in str(caught.value)


APPLE = {"text": ["apple"]}


def with_step(**changes):
    good = {"selection": APPLE, "operation": {"type": "delete"}}
    return {"version": 1, "steps": [good, {**good, **changes}]}


def recolor(**fields):
    return with_step(operation={"type": "recolor", **fields})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "is empty"),
        ([], "not a list"),
        ({"steps": []}, "no version"),
        ({"version": 2, "steps": []}, "version 2 is unknown; this dff reads version 1"),
        ({"version": 1}, "no steps"),
        ({"version": 1, "steps": [None] * 1001}, "1001 steps: at most 1000"),
        ({"version": 1, "steps": [], "stepz": 1}, "unknown field 'stepz'; did you mean 'steps'?"),
        ({"version": 1, "steps": 3}, "steps must be a list, not 3"),
        ({"version": 1, "steps": [3]}, "step 1: must be a mapping, not 3"),
        (with_step(operation={"type": "delet"}), "step 2: unknown operation 'delet'; did you mean"),
        (with_step(operation={"type": "explode"}), "known: delete, extract, opacity, recolor"),
        (with_step(operation={}), "operation.type is missing: one of delete"),
        (with_step(operation="delete"), "operation must be a mapping, not 'delete'"),
        (recolor(function="heu"), "unknown colour function 'heu'; did you mean 'hue'?"),
        (recolor(), "operation.function is missing: one of hue"),
        (recolor(function="hue"), "operation.degrees is missing"),
        (recolor(function="hue", degree=3), "'operation.degree'; did you mean 'degrees'?"),
        (recolor(function="hue", degrees=400), "must be a number from -360 to 360, not 400"),
        (recolor(function="hue", degrees=float("nan")), "from -360 to 360, not nan"),
        (recolor(function="hue", degrees=float("inf")), "from -360 to 360, not inf"),
        (recolor(function="hue", degrees=True), "not True"),
        (recolor(function="hue", degrees=10**5000), "not a huge number"),
        ({"version": 10**5000, "steps": []}, "version a huge number is unknown"),
        (recolor(function="hue", degrees="120"), "not '120'"),
        (recolor(function="tint", color=[255, 0, 0]), "color.0 must be a number from 0 to 1"),
        (recolor(function="tint", color="rde"), "'rde' is no colour"),
        (recolor(function="tint", color="hsl(0,0%,0%)"), "is no colour"),
        (with_step(operation={"type": "opacity", "factor": -1}), "from 0 to 1, not -1"),
        (with_step(selection={"txt": "apple"}), "text, click, patch, file (did you mean 'text'?)"),
        (with_step(selection={"click": "IMG_1"}), "a click is written FRAME:x,y"),
        (with_step(selection={"click": []}), "at least one positive click"),
        (with_step(selection={"patch": "IMG_1:5,5,1,9"}), "has no area"),
        (with_step(selection={"file": ""}), "selection.file"),
        (with_step(selection={"text": []}), "at least one text"),
        (with_step(selection={"text": [" "]}), "phrase is empty"),
        (with_step(selection={"text": "a", "negative": "A"}), "both wanted and not wanted"),
        (with_step(selection={**APPLE, "threshold": 2}), "selection.threshold must be a number"),
        (with_step(enabled="yes"), "enabled must be true or false, not 'yes'"),
        (with_step(name="x" * 201), "at most 200"),
        (with_step(name="big", names=1), "step 2 ('big'): unknown field 'names'"),
    ],
)
def test_bad_documents_are_explained(data, says):
    with pytest.raises(DffError) as caught:
        parse_document(data)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", b"", "is empty"),
        ("a.json", b" ", "is empty"),
        ("a.yaml", b"steps: [", "a.yaml is not YAML"),
        ("a.json", b'{"version": 1,}', "a.json is not JSON"),
        ("a.yaml", b"\xff\xfe\x00", "not text in UTF-8"),
        ("a.yaml", b"a: &x [1]\nb: *x\n", "aliases (*name) are not allowed, line 2"),
        ("a.yaml", b"version: 1\nversion: 1\n", "'version' is given twice, line 2"),
        ("a.json", b'{"version": 1, "version": 1}', "'version' is given twice"),
        ("a.yaml", b"!!python/object/apply:os.system [echo]", "a.yaml is not YAML"),
        ("a.json", b"[" * 200_000, "nested too deeply"),
        ("a.yaml", b"[" * 20_000, "nested too deeply"),
        ("a.yaml", b"#" * 1_000_001, "over 1 MB"),
        ("a.json", b"9" * 6000, "a.json"),
    ],
)
def test_bad_files_are_explained(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DffError) as caught:
        load_document(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_explained(tmp_path):
    with pytest.raises(DffError, match="no such edit document"):
        load_document(tmp_path / "none.yaml")
    with pytest.raises(DffError, match="cannot read"):
        load_document(tmp_path)


def test_a_failed_save_keeps_the_old_document(tmp_path, monkeypatch):
    path = tmp_path / "edits.json"
    save_document(EditDocument(), path)
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    step = EditStep(selection=TextSelection(text=("apple",)), operation=Delete())
    with pytest.raises(DffError, match="disk full"):
        save_document(EditDocument(steps=(step,)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["edits.json"]


def test_documents_have_a_json_schema():
    schema = json.dumps(EditDocument.model_json_schema())
    for name in ("delete", "extract", "recolor", "hue", "degrees"):
        assert f'"{name}"' in schema


def test_values_do_not_change_after_checking():
    document = EditDocument()
    with pytest.raises(ValueError, match="frozen"):
        document.version = 2
