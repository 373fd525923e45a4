"""Run by `test_mlp_triton` in a process of its own, on a CPU under Triton's interpreter or on CUDA.

Every function is one check; the reference is nerfstudio's torch MLP in float64.
"""

from __future__ import annotations

import sys

import torch
from mlp_reference import SHAPES, check_near, reference, values_and_gradients
from torch import nn

from dff.fields import mlp_triton
from dff.fields.mlp_triton import DEEPEST, WIDEST, Network, TritonMLP

KERNELS_RAN: list[int] = []
kernel = mlp_triton.network_triton


def noted(inputs, weights, network):
    """So that no check passes by torch alone."""
    KERNELS_RAN.append(inputs.shape[0])
    return kernel(inputs, weights, network)


def make(in_dim, width, out_dim, layers, device, **more):
    torch.manual_seed(in_dim)
    network = TritonMLP(in_dim, layers, width, out_dim, **{"activation": nn.ReLU(), **more})
    return network.to(device)


def check_network(shape, points, device):
    network = make(*shape, device)
    generator = torch.Generator().manual_seed(points)
    inputs = torch.randn(points, shape[0], generator=generator).to(device)
    upstream = torch.randn(points, shape[2], generator=generator).to(device)
    found = values_and_gradients(network, inputs, upstream)
    expected = values_and_gradients(reference(network), inputs.double(), upstream.double())
    check_near(found, expected, f"{shape} at {points} points")
    return found


def values_and_gradients_are_torchs(device):
    shapes = [*SHAPES, (64, 64, 64, 3)]
    for shape in shapes:
        for points in (0, 1, 5, 97, 300):
            check_network(shape, points, device)
    assert len(KERNELS_RAN) == len(shapes) * 5


def few_programs_take_several_blocks_each(device):
    usual = mlp_triton.MOST_PROGRAMS
    for most in (1, 2, 3, 4, 7):
        mlp_triton.MOST_PROGRAMS = most
        check_network((31, 64, 3, 3), 300, device)
    mlp_triton.MOST_PROGRAMS = usual


def the_same_input_gives_the_same_bits(device):
    once, again = (check_network((31, 64, 3, 3), 300, device) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def any_shape_and_stride(device):
    network = make(6, 8, 5, 2, device)
    inputs = torch.randn(3, 6, 4, device=device).transpose(1, 2)
    kept = inputs.clone()
    upstream = torch.randn(5, 4, 3, device=device).permute(2, 1, 0)
    found = values_and_gradients(network, inputs, upstream)
    assert found[0].shape == (3, 4, 5)
    check_near(
        found,
        values_and_gradients(reference(network), inputs.double(), upstream.double()),
        "transposed",
    )
    assert torch.equal(inputs, kept)
    assert network(torch.zeros(6, device=device)).shape == (5,)
    assert network(torch.zeros(2, 0, 6, device=device)).shape == (2, 0, 5)
    spread = torch.ones(1, 6, device=device).expand(40, 6)  # the upstream of a sum is spread too
    network.zero_grad()
    network(spread).sum().backward()
    torch.testing.assert_close(
        network.layers[-1].bias.grad, torch.full((5,), 40.0, device=device), rtol=0, atol=0
    )


def only_the_gradients_that_are_asked_for(device):
    network = make(6, 8, 5, 2, device)
    inputs = torch.randn(40, 6, device=device)
    upstream = torch.randn(40, 5, device=device)
    expected = values_and_gradients(reference(network), inputs.double(), upstream.double())
    network(inputs).backward(upstream)
    assert inputs.grad is None
    check_near([each.grad for each in network.parameters()], expected[2:], "weights alone")
    network.zero_grad()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    moving = inputs.clone().requires_grad_()
    network(moving).backward(upstream)
    check_near([moving.grad], expected[1:2], "inputs alone")
    assert all(each.grad is None for each in network.parameters())
    assert not network(inputs).requires_grad


def nan_stays_with_its_point(device):
    network = make(6, 8, 5, 3, device)
    inputs = torch.randn(100, 6, device=device)
    clean = network(inputs)
    spoilt = inputs.clone()
    spoilt[7, 2] = torch.nan
    found = network(spoilt)
    assert found[7].isnan().all()
    others = torch.arange(100, device=device) != 7
    assert torch.equal(found[others], clean[others])


def what_the_kernels_cannot_do_torch_does(device):
    KERNELS_RAN.clear()
    inputs = torch.randn(9, 6, device=device)
    double = make(6, 8, 5, 2, device).double()
    assert torch.equal(double(inputs.double()), double.pytorch_fwd(inputs.double()))
    for network in (
        make(6, WIDEST + 1, 5, 2, device),
        make(6, 8, WIDEST + 1, 2, device),
        make(6, 8, 5, DEEPEST + 1, device),
        make(6, 8, 5, 3, device, activation=nn.Sigmoid()),
        make(6, 8, 5, 3, device, activation=None),
        make(6, 8, 5, 2, device, out_activation=nn.Sigmoid()),
        make(6, 8, 5, 4, device, skip_connections=(2,)),
    ):
        torch.testing.assert_close(network(inputs), network.pytorch_fwd(inputs))
    assert KERNELS_RAN == []


def the_check_at_the_start_tells_right_from_wrong(device):
    for network in (Network(3, 64, 64, 64), Network(1, 4, 1, 3), Network(4, 5, 20, 6)):
        assert mlp_triton.difference_from_torch(network, 99, device) < 1e-5
    right = mlp_triton.network_triton
    try:
        for spoilt in (1.001, torch.nan):  # as by TF32, and worse
            mlp_triton.network_triton = lambda *given, by=spoilt: right(*given) * by
            assert not mlp_triton.difference_from_torch(Network(3, 31, 64, 3), 99, device) < 1e-4
    finally:
        mlp_triton.network_triton = right


CHECKS = (
    values_and_gradients_are_torchs,
    few_programs_take_several_blocks_each,
    the_same_input_gives_the_same_bits,
    any_shape_and_stride,
    only_the_gradients_that_are_asked_for,
    nan_stays_with_its_point,
    what_the_kernels_cannot_do_torch_does,
    the_check_at_the_start_tells_right_from_wrong,
)


def main(device: str) -> None:
    TritonMLP.kernels_device = device
    mlp_triton.network_triton = noted
    for check in CHECKS:
        KERNELS_RAN.clear()
        check(device)
        print(check.__name__, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
