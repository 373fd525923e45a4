"""What a checkpoint says about itself: the field implementation and the teachers.

It travels inside the model's state as one tensor of bytes (JSON), so that nerfstudio saves and
loads it with everything else and ``torch.load(weights_only=True)`` accepts it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dff.errors import DffError
from dff.teachers import Teacher

RECORD_KEY = "record"
VERSION = 2


@dataclass(frozen=True)
class TeacherRecord:
    """A teacher that a feature field was distilled from.

    Attributes:
        name: in the registry.
        dim: its feature dimension D.
        fingerprint: hash of its weights and preprocessing.
        has_text: whether it has a text tower.
        components: K where the field gives coefficients on a basis of K vectors (PCA); None where
            it gives the features themselves.
    """

    name: str
    dim: int
    fingerprint: str
    has_text: bool = True
    components: int | None = None

    @classmethod
    def of(cls, teacher: Teacher, components: int | None = None) -> TeacherRecord:
        """The record of a loaded teacher."""
        return cls(teacher.name, teacher.dim, teacher.fingerprint, teacher.has_text, components)

    def __post_init__(self) -> None:
        sizes = [self.dim] if self.components is None else [self.dim, self.components]
        whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
        texts = isinstance(self.name, str) and isinstance(self.fingerprint, str)
        if not (whole and texts and isinstance(self.has_text, bool) and min(sizes) > 0):
            raise ValueError("not the record of a teacher")


@dataclass(frozen=True)
class CheckpointRecord:
    """Implementation of the fields, and the teachers: none, one or more."""

    implementation: str
    teachers: tuple[TeacherRecord, ...] = ()

    @property
    def teacher_names(self) -> str:
        """The teachers as ``--pipeline.teachers`` takes them."""
        return ",".join(teacher.name for teacher in self.teachers)

    def to_tensor(self) -> Tensor:
        """As a one-dimensional uint8 tensor."""
        text = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)
        return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).clone()

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> CheckpointRecord:
        """Back from the tensor.

        Raises:
            DffError: the bytes are not such a record.
        """
        try:
            data = json.loads(bytes(tensor.cpu().numpy().tobytes()).decode())
            version = data["version"]
            if version not in (1, VERSION):
                raise DffError(
                    f"the checkpoint's record has version {version}: update dff to read it"
                )
            if version == 1:  # one teacher or none
                teachers = [] if data["teacher"] is None else [data["teacher"]]
            else:
                teachers = data["teachers"]
            found = tuple(TeacherRecord(**teacher) for teacher in teachers)
            return cls(data["implementation"], found)
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
    teacher_names: tuple[str, ...],
    teachers: Iterable[Teacher] = (),
) -> None:
    """Check that a checkpoint belongs to this machine and configuration.

    Args:
        record: of the checkpoint.
        implementation: of the fields as built here, ``tcnn`` or ``torch``.
        teacher_names: the configured ones.
        teachers: those that are loaded, while training.

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
    if not record.teachers:
        return
    if {teacher.name for teacher in record.teachers} != set(teacher_names):
        raise DffError(
            f"this checkpoint was distilled from teacher '{record.teacher_names}', not "
            f"'{','.join(teacher_names)}': give --pipeline.teachers {record.teacher_names}"
        )
    recorded = {teacher.name: teacher for teacher in record.teachers}
    for teacher in teachers:
        expected = recorded[teacher.name].fingerprint
        if teacher.fingerprint != expected:
            raise DffError(
                f"teacher '{teacher.name}' has other weights or options "
                f"({teacher.fingerprint[:12]}) than the one this checkpoint was distilled from "
                f"({expected[:12]})"
            )
