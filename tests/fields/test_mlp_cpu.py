"""The compiled MLP against nerfstudio's torch MLP in float64."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dff.fields import mlp_cpu
from dff.fields.blocks import mlp
from dff.fields.compiled_kernel import find_compiler, library_path, load_kernels
from dff.fields.mlp_cpu import CompiledMLP

sys.path.insert(0, str(Path(__file__).parent))

from mlp_reference import SHAPES, check_near, reference, values_and_gradients

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """What the kernel was asked for, so that no test passes by torch alone."""
    asked: list[mlp_cpu.Work] = []
    run = mlp_cpu._run

    def noted(kernels, work, *arguments):
        asked.append(work)
        run(kernels, work, *arguments)

    monkeypatch.setattr(mlp_cpu, "_run", noted)
    assert load_kernels() is not None
    return asked


def make(in_dim, width, out_dim, layers, seed=0):
    torch.manual_seed(seed)
    return CompiledMLP(in_dim, layers, width, out_dim, activation=nn.ReLU())


@pytest.mark.parametrize("points", [0, 1, 5, 96, 97, 769, 4001])
@pytest.mark.parametrize("shape", [*SHAPES, (128, 128, 128, 3)])
def test_values_and_gradients_are_torchs_in_float64(calls, shape, points):
    network = make(*shape)
    inputs, upstream = torch.randn(points, shape[0]), torch.randn(points, shape[2])
    found = values_and_gradients(network, inputs, upstream)
    expected = values_and_gradients(reference(network), inputs.double(), upstream.double())
    assert calls == [mlp_cpu.Work.VALUES, mlp_cpu.Work.GRADIENTS]
    check_near(found, expected)


def test_results_do_not_depend_on_the_number_of_threads():
    network = make(31, 64, 3, 3)
    inputs, upstream = torch.randn(5000, 31), torch.randn(5000, 3)
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 64, 100):
            torch.set_num_threads(count)
            results.append(values_and_gradients(network, inputs, upstream))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_one_point_has_its_value_whoever_is_beside_it():
    network = make(12, 24, 6, 2)
    inputs = torch.randn(200, 12)
    whole = network(inputs)
    for start, end in ((0, 1), (3, 99), (150, 200)):
        assert torch.equal(network(inputs[start:end]), whole[start:end])


def test_any_shape_and_stride(calls):
    network = make(6, 8, 5, 2)
    inputs = torch.randn(3, 6, 4).transpose(1, 2)
    kept = inputs.clone()
    torch.testing.assert_close(network(inputs), reference(network)(inputs.double()).float())
    assert network(inputs).shape == (3, 4, 5)
    assert torch.equal(inputs, kept)
    assert len(calls) == 2


def test_nan_stays_with_its_point():
    network = make(6, 8, 5, 3)
    inputs = torch.randn(100, 6)
    clean = network(inputs)
    spoilt = inputs.clone()
    spoilt[7, 2] = torch.nan
    found = network(spoilt)
    assert found[7].isnan().all()
    others = torch.arange(100) != 7
    assert torch.equal(found[others], clean[others])


def test_only_the_gradients_that_are_asked_for():
    network = make(6, 8, 5, 2)
    inputs = torch.randn(10, 6)
    network(inputs).sum().backward()
    assert inputs.grad is None
    for parameter in network.parameters():
        assert parameter.grad is not None
        parameter.requires_grad_(False)
    moving = inputs.clone().requires_grad_()
    network(moving).sum().backward()
    wanted = inputs.double().requires_grad_()
    reference(network)(wanted).sum().backward()
    assert moving.grad is not None
    assert wanted.grad is not None
    torch.testing.assert_close(moving.grad.double(), wanted.grad, rtol=1e-5, atol=1e-6)


def test_what_the_kernel_cannot_do_torch_does(calls):
    inputs = torch.randn(9, 6)
    double = make(6, 8, 5, 2).double()
    assert torch.equal(double(inputs.double()), double.pytorch_fwd(inputs.double()))
    bounded = CompiledMLP(6, 2, 8, 5, activation=nn.Tanh())
    squashed = CompiledMLP(6, 2, 8, 5, activation=nn.ReLU(), out_activation=nn.Sigmoid())
    skipping = CompiledMLP(6, 3, 8, 5, skip_connections=(1,), activation=nn.ReLU())
    for other in (bounded, squashed, skipping):
        assert torch.equal(other(inputs), other.pytorch_fwd(inputs))
    broad = make(6, mlp_cpu.WIDEST + 1, 5, 2)
    assert torch.equal(broad(inputs), broad.pytorch_fwd(inputs))
    assert calls == []


def test_parameters_of_torch_and_of_the_kernel_are_interchangeable():
    ours, theirs = mlp(6, 8, 5, 2, "cpu"), mlp(6, 8, 5, 2, "torch")
    assert isinstance(ours, CompiledMLP)
    assert not isinstance(theirs, CompiledMLP)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(20, 6)
    torch.testing.assert_close(ours(inputs), theirs(inputs))
    torch.testing.assert_close(copy.deepcopy(ours)(inputs), ours(inputs))


def test_without_the_kernel_it_is_torchs(monkeypatch, calls):
    network = make(6, 8, 5, 2)
    monkeypatch.setattr(mlp_cpu, "load_kernels", lambda: None)
    inputs = torch.randn(9, 6)
    assert torch.equal(network(inputs), network.pytorch_fwd(inputs))
    assert calls == []


def test_it_works_with_threads_of_its_own_too(tmp_path):
    """As where torch's OpenMP is not GNU's: the library is opened in a process without torch."""
    script = tmp_path / "alone.py"
    script.write_text(
        """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
points = 3000
inputs = (ctypes.c_float * points)(*range(points))
weights = (ctypes.c_float * 4)(2.0, 1.0, 3.0, 5.0)  # 3 relu(2 x + 1) + 5
result = (ctypes.c_float * points)()
dims = (ctypes.c_int32 * 3)(1, 1, 1)
failed = library.dff_mlp(
    0, inputs, weights, None, result, None, dims, 2, ctypes.c_int64(points), 4
)
assert failed == 0
assert all(result[i] == 3.0 * (2.0 * i + 1.0) + 5.0 for i in range(points))
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script), str(library_path())],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
