"""What steps do to samples: the formulas, and the laws that follow from them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.edits import (
    Delete,
    Extract,
    HueShift,
    Opacity,
    SetColor,
    apply_operations,
)
from dff.edits.apply import own_transmittance
from dff.rendering import alphas_from_density

OPERATIONS = [Delete(), Extract(), Opacity(factor=0.3), HueShift(degrees=90)]
seeds = st.integers(0, 10_000)


def samples(seed: int, rays: int = 3, count: int = 7):
    generator = torch.Generator().manual_seed(seed)
    density = 20 * torch.rand(rays, count, 1, generator=generator)
    deltas = torch.rand(rays, count, 1, generator=generator)
    rgb = torch.rand(rays, count, 3, generator=generator)
    mask = (1.6 * torch.rand(rays, count, generator=generator) - 0.3).clamp(0, 1)
    return density, deltas, rgb, mask


def edited(density, deltas, rgb, operations, masks):
    return apply_operations(alphas_from_density(density, deltas), rgb, operations, masks)


@given(seeds)
def test_alphas_and_formulas_in_float64(seed):
    density, deltas, rgb, mask = (t.double() for t in samples(seed))
    alpha = 1 - torch.exp(-density * deltas)
    m = mask[..., None]
    expected = {
        "delete": (alpha * (1 - m), rgb),
        "extract": (alpha * m, rgb),
        "opacity": (alpha * ((1 - m) + 0.3 * m), rgb),
    }
    for operation in OPERATIONS[:3]:
        got = edited(density, deltas, rgb, [operation], [mask])
        for mine, theirs in zip(got, expected[operation.type], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)
    paint = SetColor(color=(0.2, 0.4, 0.6))
    _, colours = edited(density, deltas, rgb, [paint], [mask])
    target = rgb.amax(-1, keepdim=True) * torch.tensor([0.2, 0.4, 0.6])
    torch.testing.assert_close(colours, (1 - m) * rgb + m * target)


@given(seeds)
def test_delete_and_extract_share_the_alpha(seed):
    density, deltas, rgb, mask = samples(seed)
    whole, _ = edited(density, deltas, rgb, [], [])
    rest, _ = edited(density, deltas, rgb, [Delete()], [mask])
    part, _ = edited(density, deltas, rgb, [Extract()], [mask])
    torch.testing.assert_close(rest + part, whole, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.type)
@given(seed=seeds)
def test_what_selects_nothing_leaves_every_bit(operation, seed):
    density, deltas, rgb, mask = samples(seed)
    alphas, colours = edited(density, deltas, rgb, [], [])
    nothing = torch.ones_like(mask) if operation.type == "extract" else torch.zeros_like(mask)
    for masks in ([None], [nothing]):
        got_alphas, got_colours = edited(density, deltas, rgb, [operation], masks)
        assert torch.equal(got_alphas, alphas)
        assert torch.equal(got_colours, colours)


@given(seeds)
def test_recolouring_leaves_every_bit_outside_the_mask(seed):
    density, deltas, rgb, mask = samples(seed)
    _, colours = edited(density, deltas, rgb, [HueShift(degrees=90)], [mask])
    assert torch.equal(colours[mask == 0], rgb[mask == 0])


@given(seeds, st.floats(0, 1))
def test_opacity_scales_what_the_thing_stops_along_each_ray(seed, factor):
    generator = torch.Generator().manual_seed(seed)
    rays, samples = 5, 9
    alphas = torch.rand(rays, samples, generator=generator).double() ** 3
    alphas[0] = 0.0  # nothing there
    alphas[1, 4] = 1.0  # solid
    mask = (torch.rand(rays, samples, generator=generator) > 0.4).double()
    there = torch.rand(rays * samples, generator=generator) > 0.2  # as where a layer is near
    ray = (torch.arange(rays * samples) // samples)[there]
    flat = alphas.view(-1, 1)[there]
    found, _ = apply_operations(flat, flat, [Opacity(factor=factor)], [mask.view(-1)[there]], ray)
    for number in range(rays):
        own = (ray == number) & (mask.view(-1)[there] == 1)
        stopped = 1 - (1 - flat[own]).prod()
        left = 1 - (1 - found[own]).prod()
        assert float(left) == pytest.approx(factor * float(stopped), abs=1e-6)
    rest = mask.view(-1)[there] == 0
    assert torch.equal(found[rest], flat[rest])


@given(seeds)
def test_a_ray_that_is_alone_is_as_among_others(seed):
    generator = torch.Generator().manual_seed(seed)
    alphas = torch.rand(4, 50, generator=generator)
    ray = torch.arange(4).repeat_interleave(50)
    together = own_transmittance(alphas.view(-1), ray).view(4, 50)
    wanted = torch.cat([torch.ones(4, 1), (1 - alphas.double()).cumprod(1)[:, :-1].float()], 1)
    torch.testing.assert_close(together, wanted, rtol=1e-4, atol=1e-9)


def test_a_mask_of_one_deletes_exactly_at_any_density():
    density = torch.tensor([0.0, 1.0, 1e8, float("inf")])[:, None]
    alphas, _ = edited(density, torch.ones(4, 1), torch.rand(4, 3), [Delete()], [torch.ones(4)])
    assert torch.equal(alphas, torch.zeros(4, 1))


@pytest.mark.parametrize("operation", OPERATIONS[:2], ids=lambda o: o.type)
@given(seed=seeds)
def test_hard_delete_and_extract_are_idempotent(operation, seed):
    density, deltas, rgb, mask = samples(seed)
    hard = (mask > 0.5).float()
    once = edited(density, deltas, rgb, [operation], [hard])
    twice = edited(density, deltas, rgb, [operation] * 2, [hard] * 2)
    assert torch.equal(once[0], twice[0])
    assert torch.equal(once[1], twice[1])


@given(seeds)
def test_steps_act_in_the_order_of_the_document(seed):
    density, deltas, rgb, mask = samples(seed)
    alphas, _ = edited(density, deltas, rgb, [], [])
    steps = [SetColor(color=(1.0, 0.0, 0.0)), Delete(), HueShift(degrees=120)]
    masks = [mask, mask.flip(-1), torch.ones_like(mask)]
    one_by_one = (alphas, rgb)
    for step, m in zip(steps, masks, strict=True):
        one_by_one = apply_operations(*one_by_one, [step], [m])
    together = apply_operations(alphas, rgb, steps, masks)
    assert torch.equal(one_by_one[0], together[0])
    assert torch.equal(one_by_one[1], together[1])
    everywhere = torch.ones_like(mask)
    red_then_turned = apply_operations(alphas, rgb, [steps[0], steps[2]], [everywhere] * 2)[1]
    turned_then_red = apply_operations(alphas, rgb, [steps[2], steps[0]], [everywhere] * 2)[1]
    assert (red_then_turned[..., 0] < 1e-6).all()
    assert (turned_then_red[..., 1] < 1e-6).all()


def test_the_callers_tensors_are_left_alone_and_gradients_flow():
    density, deltas, rgb, mask = samples(0)
    copies = [t.clone() for t in (density, deltas, rgb, mask)]
    rgb.requires_grad_()
    density.requires_grad_()
    alphas, colours = edited(density, deltas, rgb, OPERATIONS, [mask] * 4)
    for tensor, copy in zip((density, deltas, rgb, mask), copies, strict=True):
        assert torch.equal(tensor.detach(), copy)
    (alphas.sum() + colours.sum()).backward()
    assert torch.isfinite(rgb.grad).all()
    assert torch.isfinite(density.grad).all()


def test_a_mask_is_needed_for_every_operation():
    with pytest.raises(ValueError, match="zip"):
        apply_operations(torch.rand(2, 1), torch.rand(2, 3), [Delete()], [])
