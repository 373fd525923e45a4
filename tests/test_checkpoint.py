"""The record in a checkpoint: there and back, and every way in which it may not fit."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.checkpoint import CheckpointRecord, TeacherRecord, check_record, read_record
from dff.errors import DffError

COLOUR = TeacherRecord("colour", 5, "c0")
WRONG_DIMENSION = dataclasses.asdict(COLOUR) | {"dim": "5"}
RECORD = CheckpointRecord("torch", (COLOUR,))


@given(
    st.sampled_from(["torch", "tcnn"]),
    st.lists(
        st.builds(
            TeacherRecord,
            st.text(max_size=20),
            st.integers(1, 4096),
            st.text(max_size=70),
            st.booleans(),
            st.none() | st.integers(1, 512),
        ),
        max_size=3,
    ),
)
def test_a_record_comes_back_as_it_was(implementation, teachers):
    record = CheckpointRecord(implementation, tuple(teachers))
    tensor = record.to_tensor()
    assert tensor.dtype == torch.uint8
    assert tensor.ndim == 1
    assert CheckpointRecord.from_tensor(tensor) == record


def test_equal_records_are_equal_tensors():
    assert torch.equal(
        CheckpointRecord("torch", (COLOUR,)).to_tensor(),
        CheckpointRecord("torch", (dataclasses.replace(COLOUR),)).to_tensor(),
    )


def as_tensor(data: object) -> torch.Tensor:
    return torch.tensor(list(json.dumps(data).encode()), dtype=torch.uint8)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(0, dtype=torch.uint8),
        torch.tensor([255, 254, 1], dtype=torch.uint8),
        torch.randn(7),
        as_tensor(3),
        as_tensor(None),
        as_tensor([]),
        as_tensor({}),
        as_tensor({"version": 1}),
        as_tensor({"version": 1, "implementation": "torch"}),
        as_tensor({"version": 1, "implementation": "torch", "teacher": 7}),
        as_tensor({"version": 1, "implementation": "torch", "teacher": "mini"}),
        as_tensor({"version": 1, "implementation": "torch", "teacher": {"name": "mini"}}),
        as_tensor({"version": 1, "implementation": "torch", "teacher": {"x": 1}}),
        as_tensor({"version": 2, "implementation": "torch"}),
        as_tensor({"version": 2, "implementation": "torch", "teachers": ["mini"]}),
        as_tensor(
            {
                "version": 2,
                "implementation": "torch",
                "teachers": [dataclasses.asdict(COLOUR) | {"dim": "5"}],
            }
        ),
        as_tensor({"version": "new", "implementation": "torch", "teacher": None}),
    ],
)
def test_a_damaged_record_is_one_line(tensor):
    with pytest.raises(DffError) as raised:
        CheckpointRecord.from_tensor(tensor)
    assert "\n" not in str(raised.value)


def test_a_record_of_a_later_version_says_so():
    later = as_tensor({"version": 3, "implementation": "torch", "teachers": []})
    with pytest.raises(DffError, match="update dff"):
        CheckpointRecord.from_tensor(later)


def test_records_of_the_first_version_are_read():
    one = {"name": "colour", "dim": 5, "fingerprint": "c0"}
    for teacher, expected in ((one, (COLOUR,)), (None, ())):
        first = as_tensor({"version": 1, "implementation": "torch", "teacher": teacher})
        assert CheckpointRecord.from_tensor(first) == CheckpointRecord("torch", expected)


def test_the_record_is_found_wherever_the_model_sits():
    tensor = CheckpointRecord("torch", (COLOUR,)).to_tensor()
    for key in ("_model.record", "module._model.record", "record"):
        assert read_record({"_model.field.x": torch.zeros(2), key: tensor}).teachers == (COLOUR,)


def test_a_checkpoint_without_a_record_is_not_ours():
    with pytest.raises(DffError, match="not written by dff"):
        read_record({"_model.field.records": torch.zeros(3), "step": 4})


class Loaded:
    """What is asked of a loaded teacher."""

    name, dim = "colour", 5

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint


def test_what_fits_passes():
    check_record(RECORD, "torch", ("colour",), [Loaded("c0")])
    check_record(RECORD, "torch", ("colour",))
    check_record(CheckpointRecord("tcnn"), "tcnn", ("anything",))


@pytest.mark.parametrize(
    ("record", "here", "names", "loaded", "says"),
    [
        (CheckpointRecord("tcnn", (COLOUR,)), "torch", ("colour",), [], "CUDA and tiny-cuda-nn"),
        (RECORD, "tcnn", ("colour",), [], "implementation torch"),
        (
            RECORD,
            "torch",
            ("mini",),
            [],
            "--pipeline.teachers colour",
        ),
        (
            RECORD,
            "torch",
            ("colour",),
            [Loaded("c1")],
            "other weights",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_fix(record, here, names, loaded, says):
    with pytest.raises(DffError, match=says) as raised:
        check_record(record, here, names, loaded)
    assert "\n" not in str(raised.value)
