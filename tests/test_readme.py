"""What the README shows is what works."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import torch

from dff.teachers import Teacher

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_of_a_teacher_of_ones_own_is_one(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    source = next(block for block in blocks if "class Edges" in block)
    assert len(source.splitlines()) < 35
    path = tmp_path / "edges.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("edges", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    teacher = module.load("cpu", {})
    assert isinstance(teacher, Teacher)
    for height, width in ((18, 24), (40, 33)):
        found = teacher.encode_image(torch.rand(height, width, 3))
        assert found.shape == (*teacher.grid_shape(height, width), teacher.dim)
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(found.shape[:2]))
    # A vertical edge shows in the second feature, a horizontal one in the third.
    edge = torch.zeros(16, 16, 3)
    edge[:, 8:] = 1.0
    upright = teacher.encode_image(edge)
    lying = teacher.encode_image(edge.transpose(0, 1))
    assert float(upright[..., 1].max()) > 0.1 > float(upright[..., 2].max())
    torch.testing.assert_close(lying[..., 2], upright[..., 1].T)
