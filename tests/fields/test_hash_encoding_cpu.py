"""The compiled hash encoding against the pure-torch reference, and what happens without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from dff.errors import DffError
from dff.fields import compiled_kernel
from dff.fields.blocks import grid_encoding, layout_of, resolve_implementation
from dff.fields.compiled_kernel import SOURCES, build, find_compiler, load_kernels, open_library
from dff.fields.hash_encoding import GridShape, HashEncoding, interpolate_torch
from dff.fields.hash_encoding_cpu import interpolate_cpu

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")


def make(levels=5, base=3, finest=37, log2=9, features=4, seed=0):
    shape = GridShape.geometric(levels, base, finest, log2, features)
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(shape.offsets()[-1], features, generator=generator)
    return shape, table, generator


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def values_and_gradients(interpolate, positions, table, shape, upstream):
    positions, table = positions.clone().requires_grad_(), table.clone().requires_grad_()
    result = interpolate(positions, table, shape)
    result.backward(upstream)
    return result.detach(), table.grad, positions.grad


def same_as_the_reference(positions, table, shape, upstream):
    found = values_and_gradients(interpolate_cpu, positions, table, shape, upstream)
    expected = values_and_gradients(interpolate_torch, positions, table, shape, upstream)
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6 * max(scale, 1.0))


@pytest.fixture(autouse=True)
def compiled():
    if find_compiler() is not None:
        assert load_kernels() is not None


@needs_compiler
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("points", [0, 1, 7, 64, 65, 1023, 1025, 3001])
@pytest.mark.parametrize("features", [1, 2, 3, 4, 5, 8, 11])
def test_values_and_gradients_are_the_references(points, features, count):
    shape, table, generator = make(features=features)
    positions = torch.rand(points, 3, generator=generator)
    upstream = torch.randn(points, shape.out_dim, generator=generator)
    with threads(count):
        same_as_the_reference(positions, table, shape, upstream)


@needs_compiler
def test_the_default_grids_of_the_model_too():
    for shape in (GridShape.geometric(8, 16, 1024, 17, 4), GridShape.geometric(4, 16, 128, 15, 2)):
        generator = torch.Generator().manual_seed(3)
        table = torch.randn(shape.offsets()[-1], shape.features, generator=generator)
        positions = torch.rand(2500, 3, generator=generator)
        upstream = torch.randn(2500, shape.out_dim, generator=generator)
        same_as_the_reference(positions, table, shape, upstream)


@needs_compiler
def test_points_on_the_border_and_outside():
    shape, table, generator = make()
    positions = torch.tensor(
        [
            [0.0, 0.0, 0.0],
            [1.0, 1.0, 1.0],
            [-0.5, 0.3, 2.0],
            [1.0, 0.0, 0.5],
            [1e9, -1e9, 0.5],
            [float("inf"), float("-inf"), 0.25],
        ]
    )
    upstream = torch.randn(len(positions), shape.out_dim, generator=generator)
    same_as_the_reference(positions, table, shape, upstream)


@needs_compiler
def test_nan_gives_nan_and_touches_no_other_point():
    shape, table, generator = make()
    positions = torch.rand(5, 3, generator=generator)
    expected = interpolate_cpu(positions, table, shape)
    positions[2, 1] = float("nan")
    result = interpolate_cpu(positions, table, shape)
    assert result[2].isnan().all()
    others = [0, 1, 3, 4]
    assert torch.equal(result[others], expected[others])


@needs_compiler
@pytest.mark.parametrize("shape", [GridShape((4, 20), 9, 3), GridShape((4, 20), 9, 3, True)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_torch_makes_the_same_of_nan(shape, axis):
    table = torch.randn(shape.offsets()[-1], shape.features)
    positions = torch.rand(6, 3)
    positions[2, axis] = float("nan")
    upstream = torch.randn(6, shape.out_dim)
    arguments = positions, table, shape, upstream
    found = values_and_gradients(interpolate_torch, *arguments)
    expected = values_and_gradients(interpolate_cpu, *arguments)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5, equal_nan=True)
    values, _, for_positions = found
    assert values.isnan().all(-1).tolist() == [False, False, True, False, False, False]
    assert values.isnan().any(-1).tolist() == [False, False, True, False, False, False]
    assert for_positions[[0, 1, 3, 4, 5]].isfinite().all()


@needs_compiler
def test_nothing_need_be_contiguous():
    shape, table, generator = make()
    positions = torch.rand(3, 200, generator=generator).t()
    spread = torch.randn(table.shape[0], 2 * table.shape[1], generator=generator)[:, ::2]
    spread.copy_(table)
    one = torch.ones(1, 1).expand(200, shape.out_dim)
    same_as_the_reference(positions, spread, shape, one)


@needs_compiler
def test_results_do_not_depend_on_the_number_of_threads():
    shape, table, generator = make(log2=11, finest=200)
    positions = torch.rand(9000, 3, generator=generator)
    upstream = torch.randn(9000, shape.out_dim, generator=generator)
    arguments = interpolate_cpu, positions, table, shape, upstream
    with threads(1):
        expected = values_and_gradients(*arguments)
    for count in (2, 3, 64, 100):
        with threads(count):
            for one, other in zip(values_and_gradients(*arguments), expected, strict=True):
                assert torch.equal(one, other)


FORKING = """
import os, sys, torch
from dff.fields.hash_encoding import GridShape
from dff.fields.hash_encoding_cpu import interpolate_cpu

torch.set_num_threads(2)
shape = GridShape.geometric(5, 3, 37, 9, 4)
table, positions = torch.randn(shape.offsets()[-1], 4), torch.rand(5000, 3)
expected = interpolate_cpu(positions, table, shape)
child = os.fork()
if child == 0:
    found = interpolate_cpu(positions, table, shape)
    # As torch's own data loaders do: OpenMP does not survive a fork.
    torch.set_num_threads(1)
    os._exit(0 if torch.equal(found, expected) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_compiler
def test_a_forked_process_can_use_it():
    done = subprocess.run([sys.executable, "-c", FORKING], timeout=120)
    assert done.returncode == 0


@needs_compiler
def test_only_the_gradients_that_are_asked_for():
    shape, table, generator = make()
    positions = torch.rand(10, 3, generator=generator)
    leaf = table.clone().requires_grad_()
    interpolate_cpu(positions, leaf, shape).sum().backward()
    assert positions.grad is None
    assert leaf.grad is not None
    moving = positions.clone().requires_grad_()
    interpolate_cpu(moving, table, shape).sum().backward()
    assert moving.grad is not None


def test_other_types_go_to_the_reference():
    shape, table, generator = make(features=2)
    positions = torch.rand(6, 3, generator=generator).double()
    table = table.double()
    assert torch.equal(
        interpolate_cpu(positions, table, shape), interpolate_torch(positions, table, shape)
    )


def test_a_table_of_another_shape_is_refused_before_it_is_read():
    shape, table, generator = make()
    positions = torch.rand(6, 3, generator=generator)
    for wrong in ((positions, table[:-1]), (positions, table[:, :2]), (positions[:, :2], table)):
        with pytest.raises(ValueError, match="do not fit a grid"):
            interpolate_cpu(*wrong, shape)


@needs_compiler
def test_tables_of_torch_and_of_the_kernel_are_interchangeable():
    shape, _, generator = make()
    torch.manual_seed(0)
    ours, reference = grid_encoding(shape, "cpu"), grid_encoding(shape, "torch")
    assert isinstance(ours, HashEncoding)
    reference.load_state_dict(ours.state_dict())
    positions = torch.rand(2, 7, 3, generator=generator)
    torch.testing.assert_close(ours(positions), reference(positions))
    assert layout_of("cpu") == layout_of("torch") != layout_of("tcnn")


def test_without_a_compiler_torch_does_it_and_one_line_says_so(fresh, monkeypatch, capsys):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert resolve_implementation("auto") == "torch"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pure torch" in said
    assert "no C compiler" in said
    shape, table, generator = make()
    positions = torch.rand(9, 3, generator=generator)
    expected = interpolate_torch(positions, table, shape)
    assert torch.equal(interpolate_cpu(positions, table, shape), expected)
    assert capsys.readouterr().err == ""  # said once
    with pytest.raises(DffError, match="needs a C compiler"):
        resolve_implementation("cpu")


@needs_compiler
def test_building_without_tuning_gives_the_same_values(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_kernel, "TUNING", ((),))
    build(SOURCES, tmp_path / "plain.so")
    plain = open_library(tmp_path / "plain.so")
    shape, table, generator = make()
    positions = torch.rand(300, 3, generator=generator)
    expected = interpolate_cpu(positions, table, shape)
    monkeypatch.setattr("dff.fields.hash_encoding_cpu.load_kernels", lambda: plain)
    torch.testing.assert_close(interpolate_cpu(positions, table, shape), expected)


def test_what_is_asked_for_and_cannot_run_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("dff.fields.blocks.tcnn_is_usable", lambda: False)
    monkeypatch.setattr("dff.fields.blocks.triton_is_usable", lambda: False)
    for name, needs in (("tcnn", "tinycudann"), ("triton", "CUDA"), ("fast", "choose auto")):
        with pytest.raises(DffError, match=needs):
            resolve_implementation(name)
    assert resolve_implementation("torch") == "torch"


def test_auto_takes_the_first_that_runs(monkeypatch):
    monkeypatch.setattr("dff.fields.blocks.tcnn_is_usable", lambda: True)
    monkeypatch.setattr("dff.fields.blocks.triton_is_usable", lambda: True)
    assert resolve_implementation("auto") == "tcnn"
    monkeypatch.setattr("dff.fields.blocks.tcnn_is_usable", lambda: False)
    assert resolve_implementation("auto") == "triton"
    assert layout_of("triton") == "torch"
    shape, _, generator = make()
    positions = torch.rand(9, 3, generator=generator)
    module = grid_encoding(shape, "triton")  # off the GPU by the CPU kernel, or torch
    expected = interpolate_torch(positions, module.table, shape)
    torch.testing.assert_close(module(positions), expected)
