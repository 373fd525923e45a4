"""Documents: what they hold, that they come back as they were, and what is said of bad ones."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dff.edits import (
    Delete,
    EditDocument,
    EditStep,
    HueShift,
    SetColor,
    TextSelection,
    load_document,
    parse_document,
    save_document,
)
from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS
from dff.edits.selections import SELECTIONS
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


FIELDS = sorted(
    {
        name
        for model in (*OPERATIONS.values(), *RECOLOR_FUNCTIONS.values(), *SELECTIONS.values())
        for name in model.model_fields
    }
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*OPERATIONS, *RECOLOR_FUNCTIONS, "recolor", "apple", "#fff", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", *FIELDS]) | st.text(max_size=3) | st.integers(),
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


def parse_or_explain(data):
    message = ""
    try:
        assert isinstance(parse_document(data), EditDocument)
    except DffError as error:
        message = str(error)
    assert message == "" or message.isprintable()
    assert len(message) < 700
    # The sign of a fault that nobody has put into words.
    assert "Input should" not in message


@settings(max_examples=200)
@given(nearly_documents)
def test_anything_is_a_document_or_one_clear_line(data):
    parse_or_explain(data)


def places_in(data, path=()):
    """Paths to everything inside."""
    inside = enumerate(data) if isinstance(data, list) else ()
    for key, value in data.items() if isinstance(data, dict) else inside:
        yield (*path, key)
        yield from places_in(value, (*path, key))


def changed(data, path, change):
    """A copy in which what stands at ``path`` is taken out or is something else."""
    if not path:
        return change
    copy = dict(data) if isinstance(data, dict) else list(data)
    if len(path) > 1 or change != "take out":
        copy[path[0]] = changed(copy[path[0]], path[1:], change)
    else:
        del copy[path[0]]
    return copy


@settings(max_examples=200)
@given(data=st.data())
def test_a_valid_document_with_one_thing_changed_is_a_document_or_one_clear_line(documents, data):
    document = data.draw(documents).model_dump(mode="json", exclude_none=True)
    place = data.draw(st.sampled_from(list(places_in(document))))
    mutated = changed(document, place, data.draw(st.just("take out") | plain))
    parse_or_explain(mutated)


APPLE = {"text": ["apple"]}


def with_step(**changes):
    good = {"selection": APPLE, "operation": {"type": "delete"}}
    return {"version": 1, "steps": [good, {**good, **changes}]}


def recolor(**fields):
    return with_step(operation={"type": "recolor", **fields})


def transform(kind="transform", **fields):
    return with_step(operation={"type": kind, **fields})


def diagonal(*values, last=1):
    return [[value if i == j else 0 for j in range(4)] for i, value in enumerate((*values, last))]


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
        (with_step(operation={"type": "explode"}), "known: delete, extract, opacity, transform"),
        (with_step(operation={"type": "move"}), "unknown operation 'move'; did you mean 'transf"),
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
        (with_step(selection={"txt": "apple"}), "patch, file, step (did you mean 'text'?)"),
        (with_step(selection={"text": "a", "click": "b:1,2"}), "'text' and 'click': only one of"),
        (with_step(selection="apple"), "exactly one of: text, click, patch, file, step, not 'app"),
        (with_step(selection={"text": [False]}), "text.0 must be text, not False (put it in quo"),
        (with_step(selection={"text": ["a"] * 1001}), "selection.text: 1001 are too many: at most"),
        (with_step(selection={"click": ["\x1b[2J:1,2"]}), "'\\x1b[2J:1,2' holds control char"),
        (with_step(selection={"file": "a\0b"}), "selection.file: 'a\\x00b' holds control"),
        (with_step(selection={"file": "a" * 501}), "selection.file must be at most 500 char"),
        (with_step(selection={"click": "IMG_1"}), "a click is written FRAME:x,y"),
        (with_step(selection={"click": []}), "at least one positive click"),
        (with_step(selection={"patch": "IMG_1:5,5,1,9"}), "has no area"),
        (with_step(selection={"file": ""}), "selection.file"),
        (with_step(selection={"text": []}), "at least one text"),
        (with_step(selection={"text": [" "]}), "phrase is empty"),
        (with_step(selection={"text": "a", "negative": "A"}), "both wanted and not wanted"),
        (with_step(selection={**APPLE, "threshold": 2}), "selection.threshold must be a number"),
        (with_step(name="\x1b[31m"), "name: '\\x1b[31m' holds control characters"),
        (with_step(operation={"type": "delete", 3: 4}), "names of fields are text, not 3"),
        (
            transform(translate=[0, float("nan"), 0]),
            "translate.1 must be a number from -1000 to 10",
        ),
        (transform(translate=[0, 1]), "translate must be [x, y, z], not a list of 2"),
        (transform(translate=[0, 1, 2, 3]), "translate must be [x, y, z], not a list of 4"),
        (transform(translate={"x": 1}), "translate must be [x, y, z], not a mapping"),
        (
            transform(rotate=[0, 0, "90"]),
            "rotate.2 must be a number from -3600 to 3600, not '90' (w",
        ),
        (transform(scale=0), "operation.scale must be a number from 0.01 to 100, not 0"),
        (transform(scale=-1), "operation.scale must be a number from 0.01 to 100, not -1"),
        (transform(pivot="centre"), "a point [x, y, z], not 'centre'; did you mean 'center'?"),
        (
            transform(pivot=[0, 1]),
            "pivot must be center, base, or a point [x, y, z], not a list of",
        ),
        (transform(pivot=None), "pivot must be center, base, or a point [x, y, z], not null"),
        (transform(axes="local"), "axes must be world or object, not 'local'"),
        (transform(matrix=[[1, 0]]), "matrix.0 must be 4 numbers, not a list of 2"),
        (transform(matrix=diagonal(1, 2, 1)), "the matrix is not rigid"),
        (transform(matrix=diagonal(1, -1, 1)), "the matrix mirrors or flattens space"),
        (transform(matrix=diagonal(0, 0, 0)), "the matrix mirrors or flattens space"),
        (transform(matrix=diagonal(1, 1, float("nan"))), "matrix.2.2 must be a number"),
        (transform(matrix=diagonal(1e-3, 1e-3, 1e-3)), "scales by 0.001: from 0.01 to 100"),
        (transform(matrix=diagonal(1, 1, 1, last=2)), "the last row of the matrix must be 0 0 0 1"),
        (transform(matrix=diagonal(1, 1, 1), scale=2), "give either matrix or scale, not both"),
        (transform("duplicate", count=0), "count must be a whole number from 1 to 100, not 0"),
        (transform("duplicate", count=2.5), "count must be a whole number from 1 to 100, not 2.5"),
        (transform("duplicate", count=10**30), "from 1 to 100, not a huge number"),
        (transform("duplicate", cuont=2), "unknown field 'operation.cuont'; did you mean 'count'?"),
        (transform("insert"), "operation.scene is missing"),
        (transform("insert", scene=""), "operation.scene is empty"),
        (transform("insert", scene="a", at=[1]), "operation.at must be [x, y, z], not a list of 1"),
        (transform("replace"), "operation.by is missing"),
        (transform("replace", by={"tetx": "a"}), "operation.by must say what is selected by"),
        (
            transform("replace", by={"text": 1}),
            "operation.by.text must be text, or a list of texts",
        ),
        (transform("replace", by={"step": 1}), "operation.by: select by text, click, patch or fil"),
        (transform("replace", by=APPLE, pivot=[1, 2, 3]), "pivot must be center or base, not a li"),
        (transform("background", color=[1, 2, 0]), "color.1 must be a number from 0 to 1, not 2"),
        (transform("background", color=[1, 0]), "color must be [r, g, b], #rrggbb or a CSS colour"),
        (transform("background", color="whit"), "'whit' is no colour"),
        (transform("repaint", file=None), "operation.file must be text, not null"),
        (recolor(function="channels", order="rgx"), "must be rgb, rbg, grb, gbr, brg or bgr, not"),
        (recolor(function="curves"), "give at least one curve: all, red, green or blue"),
        (recolor(function="curves", all=[[0, 0]]), "all must be 2 to 32 points [x, y], not a list"),
        (recolor(function="curves", all=[[0, 0]] * 33), "2 to 32 points [x, y], not a list of 33"),
        (recolor(function="curves", all=[[0, 0], [0, 1]]), "must go from left to right"),
        (recolor(function="curves", all=[[0, 0], [1]]), "all.1 must be a point [x, y], not a list"),
        (recolor(function="curves", red=[[0, 0], [1, 2]]), "red.1.1 must be a number from 0 to 1"),
        (recolor(function="curves", gren=[[0, 0]]), "'operation.gren'; did you mean 'green'?"),
        (with_step(enabled="yes"), "enabled must be true or false, not 'yes'"),
        (with_step(name="x" * 201), "at most 200"),
        (with_step(name="big", names=1), "step 2 ('big'): unknown field 'names'"),
    ],
)
def test_bad_documents_are_explained(data, says):
    with pytest.raises(DffError) as caught:
        parse_document(data)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_missing_files_and_folders_are_explained(tmp_path):
    with pytest.raises(DffError, match="no such edit document"):
        load_document(tmp_path / "none.yaml")
    with pytest.raises(DffError, match="cannot read"):
        load_document(tmp_path)


def test_a_document_too_large_to_be_read_again_is_not_written(tmp_path):
    words = tuple(f"{number} {'x' * 190}" for number in range(900))
    step = EditStep(selection=TextSelection(text=words), operation=Delete())
    with pytest.raises(DffError, match="over 1 MB"):
        save_document(EditDocument(steps=(step,) * 9), tmp_path / "edits.json")
    assert not list(tmp_path.iterdir())


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


def test_values_do_not_change_after_checking():
    document = EditDocument()
    with pytest.raises(ValueError, match="frozen"):
        document.version = 2
