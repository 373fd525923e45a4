"""What a checkpoint says about itself: the field implementation and the teacher.

It travels inside the model's state as one tensor of bytes (JSON), so that nerfstudio saves and
loads it with everything else and ``torch.load(weights_only=True)`` accepts it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dff.errors import DffError
from dff.teachers import Teacher

RECORD_KEY = "record"


@dataclass(frozen=True)
class TeacherRecord:
    """The teacher a feature field was distilled from.

    Attributes:
        name: in the registry.
        dim: its feature dimension D.
        fingerprint: hash of its weights and preprocessing.
    """

    name: str
    dim: int
    fingerprint: str

    @classmethod
    def of(cls, teacher: Teacher) -> TeacherRecord:
        """The record of a loaded teacher."""
        return cls(teacher.name, teacher.dim, teacher.fingerprint)


@dataclass(frozen=True)
class CheckpointRecord:
    """Implementation of the fields, and the teacher if there was one."""

    implementation: str
    teacher: TeacherRecord | None

    def to_tensor(self) -> Tensor:
        """As a one-dimensional uint8 tensor."""
        text = json.dumps({"version": 1, **asdict(self)}, sort_keys=True)
        return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).clone()

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> CheckpointRecord:
        """Back from the tensor.

        Raises:
            DffError: the bytes are not such a record.
        """
        try:
            data = json.loads(bytes(tensor.cpu().numpy().tobytes()).decode())
            if data["version"] != 1:
                raise DffError(
                    f"the checkpoint's record has version {data['version']}: update dff to read it"
                )
            teacher = data["teacher"]
            return cls(
                data["implementation"], None if teacher is None else TeacherRecord(**teacher)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DffError("the checkpoint's record is damaged: train again") from error


def read_record(state: Mapping[str, Any]) -> CheckpointRecord:
    """Find the record in a pipeline's state.

    Raises:
        DffError: there is none, so dff did not write this checkpoint.
    """
    for key, value in state.items():
        if key.split(".")[-1] == RECORD_KEY and isinstance(value, Tensor):
            return CheckpointRecord.from_tensor(value)
    raise DffError("this checkpoint was not written by dff: train with `ns-train dff`")


def check_record(
    record: CheckpointRecord,
    implementation: str,
    teacher_name: str,
    teacher: Teacher | None,
) -> None:
    """Check that a checkpoint belongs to this machine and configuration.

    Args:
        record: of the checkpoint.
        implementation: of the fields as built here, ``tcnn`` or ``torch``.
        teacher_name: the configured one.
        teacher: the loaded one, while training; None where none is needed.

    Raises:
        DffError: one sentence on what does not match.
    """
    if record.implementation != implementation:
        raise DffError(
            f"this checkpoint was trained with implementation={record.implementation}, which "
            f"cannot be loaded as {implementation}: use a machine with CUDA and tiny-cuda-nn"
            if record.implementation == "tcnn"
            else f"this checkpoint was trained with implementation={record.implementation}: "
            f"give --pipeline.model.implementation {record.implementation}"
        )
    if record.teacher is None:
        return
    if record.teacher.name != teacher_name:
        raise DffError(
            f"this checkpoint was distilled from teacher '{record.teacher.name}', not "
            f"'{teacher_name}': give --pipeline.teachers {record.teacher.name}"
        )
    if teacher is not None and teacher.fingerprint != record.teacher.fingerprint:
        raise DffError(
            f"teacher '{teacher.name}' has other weights ({teacher.fingerprint[:12]}) than the one "
            f"this checkpoint was distilled from ({record.teacher.fingerprint[:12]})"
        )
