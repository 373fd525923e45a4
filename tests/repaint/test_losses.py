"""Losses of a repainting against closed forms in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.repaint.losses import directional_loss, picture_loss, plain_loss, preserving_loss


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def test_plain_loss_is_one_minus_the_cosine():
    pictures, prompt = unit(5, 8), unit(8)
    wanted = 1 - (pictures.double() @ prompt.double()).mean()
    assert float(plain_loss(pictures, prompt)) == pytest.approx(float(wanted), abs=1e-6)
    assert float(plain_loss(prompt[None], prompt)) == pytest.approx(0, abs=1e-6)


def test_directional_loss_is_the_paper_s_for_long_changes():
    """With ``short`` far below the changes it is 1 - cos(dI, dT), worked out in numpy."""
    edited, original, prompt, source = unit(6, 8), unit(6, 8), unit(8), unit(8)
    change = edited.double().numpy() - original.double().numpy()
    wanted = prompt.double().numpy() - source.double().numpy()
    cosines = change @ wanted / np.linalg.norm(change, axis=1) / np.linalg.norm(wanted)
    found = directional_loss(edited, original, prompt, source, short=1e-6)
    assert float(found) == pytest.approx(1 - cosines.mean(), abs=1e-5)


@pytest.mark.parametrize("length", [0.05, 0.1, 0.4])
def test_a_change_in_the_right_direction_counts_by_its_length(length):
    prompt, source = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    step = torch.tensor([[1.0, -1.0]]) / math.sqrt(2) * length
    original = torch.tensor([[0.3, 0.4]])
    found = float(directional_loss(original + step, original, prompt, source, short=0.1))
    assert found == pytest.approx(1 - length / math.hypot(length, 0.1), abs=1e-6)


def test_a_picture_that_has_not_changed_is_pulled_along_the_words():
    """Where the cosine has no value, the loss is 1 and its gradient is finite, against dT."""
    prompt, source = unit(8), unit(8)
    original = unit(1, 8)
    edited = original.clone().requires_grad_(True)
    loss = directional_loss(edited, original, prompt, source)
    loss.backward()
    assert float(loss) == 1.0
    assert edited.grad is not None
    wanted = -F.normalize(prompt - source, dim=-1) / 0.1
    torch.testing.assert_close(edited.grad[0], wanted)


def test_what_belongs_to_the_selection_alone_may_change():
    picture = torch.rand(4, 5, 3)
    assert float(preserving_loss(1 - picture, picture, torch.ones(4, 5, 1))) == 0


def test_pixels_without_any_of_the_selection_do_not_count():
    """Twice as many untouched pixels around leave the loss as it is."""
    picture, painted, share = torch.rand(1, 4, 3), torch.rand(1, 4, 3), torch.rand(1, 4, 1)
    rest = torch.rand(1, 8, 3)
    alone = preserving_loss(painted, picture, share)
    within = preserving_loss(
        torch.cat([painted, rest], 1),
        torch.cat([picture, rest], 1),
        torch.cat([share, torch.zeros(1, 8, 1)], 1),
    )
    torch.testing.assert_close(alone, within)


def test_both_losses_of_pictures_are_the_sums_they_say():
    painted, picture, share = torch.rand(3, 4, 3), torch.rand(3, 4, 3), torch.rand(3, 4, 1)
    share[0] = 0
    kept, inside, pixels, weight = 0.0, 0.0, 0, 0.0
    for row in range(3):
        for column in range(4):
            s = float(share[row, column])
            error = float(((painted - picture)[row, column].double() ** 2).sum())
            kept += (1 - s) * error if s > 0 else 0
            pixels += s > 0
            inside += s * error
            weight += s
    # A pixel without any of the selection is the same before and after.
    painted = torch.where(share > 0, painted, picture)
    assert float(preserving_loss(painted, picture, share)) == pytest.approx(kept / pixels, rel=1e-5)
    assert float(picture_loss(painted, picture, share)) == pytest.approx(inside / weight, rel=1e-5)


def test_no_selected_pixel_is_no_loss_and_no_nan():
    nothing = torch.zeros(2, 2, 1)
    picture = torch.rand(2, 2, 3)
    assert float(preserving_loss(picture, picture, nothing)) == 0
    assert float(picture_loss(picture, 1 - picture, nothing)) == 0
