"""Augmentations: projective maps point by point, and colours that come from where they should."""

from __future__ import annotations

import pytest
import torch

from dff.repaint.augment import FULL, Augmentation, draw, homography, taken, warp


def drawn(number: int) -> Augmentation:
    return draw(torch.Generator().manual_seed(number))


@pytest.mark.parametrize("number", range(5))
def test_the_map_takes_corners_to_corners(number):
    corners = drawn(number).corners
    matrix = homography(corners)
    for (x, y), place in zip(FULL, corners, strict=True):
        u, v, w = matrix @ torch.tensor([x, y, 1.0], dtype=torch.float64)
        torch.testing.assert_close(torch.stack([u / w, v / w]).float(), place, atol=1e-6, rtol=0)


def test_straight_lines_stay_straight():
    """The diagonals of the square meet at its centre, wherever the corners go."""
    corners = drawn(3).corners.double()
    u, v, w = homography(corners) @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    centre = torch.stack([u / w, v / w])
    for one, other in ((0, 2), (1, 3)):
        a, b = corners[other] - corners[one], centre - corners[one]
        assert float(a[0] * b[1] - a[1] * b[0]) == pytest.approx(0, abs=1e-9)


def test_the_whole_picture_is_the_picture():
    picture = torch.rand(6, 9, 3)
    same = warp(picture, torch.tensor(FULL), (6, 9))
    torch.testing.assert_close(same, picture.movedim(-1, 0), atol=1e-5, rtol=0)


def test_a_crop_is_what_lies_in_it():
    picture = torch.rand(8, 8, 3)
    left = torch.tensor([[-1.0, -1.0], [0.0, -1.0], [0.0, 1.0], [-1.0, 1.0]])
    found = warp(picture, left, (8, 4))
    torch.testing.assert_close(found, picture[:, :4].movedim(-1, 0), atol=1e-5, rtol=0)


def test_colours_stay_between_those_of_the_picture():
    picture = torch.rand(7, 5, 3) * 0.4 + 0.3
    for number in range(20):
        found = warp(picture, drawn(number).corners, (11, 13))
        assert found.shape == (3, 11, 13)
        assert float(found.min()) >= 0.3 - 1e-6
        assert float(found.max()) <= 0.7 + 1e-6


def test_corners_stay_in_the_picture_and_show_most_of_it():
    for number in range(200):
        corners = drawn(number).corners
        assert float(corners.abs().max()) <= 1
        x, y = corners.T
        area = 0.5 * abs(float((x * y.roll(-1) - x.roll(-1) * y).sum()))
        assert area > 0.25 * 4


def test_surroundings_are_kept_or_made_one_colour():
    light, share = torch.rand(6, 6, 3), torch.zeros(6, 6, 1)
    share[2:4, 2:4] = 1
    light = light * share
    picture = light + (1 - share) * torch.rand(6, 6, 3)
    full = torch.tensor(FULL)
    kept = taken(Augmentation(full, None), picture, light, share, (6, 6))
    torch.testing.assert_close(kept, picture.movedim(-1, 0), atol=1e-5, rtol=0)
    colour = torch.tensor([0.2, 0.5, 0.9])
    alone = taken(Augmentation(full, colour), picture, light, share, (6, 6)).movedim(0, -1)
    torch.testing.assert_close(alone[2:4, 2:4], picture[2:4, 2:4], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone[0], colour.expand(6, 3), atol=1e-5, rtol=0)


def test_about_half_are_alone_and_the_same_seed_gives_the_same():
    ways = [drawn(number) for number in range(300)]
    alone = sum(way.background is not None for way in ways)
    assert 110 < alone < 190
    assert torch.equal(drawn(7).corners, ways[7].corners)


def test_colours_have_a_gradient():
    picture = torch.rand(6, 6, 3, dtype=torch.float64, requires_grad=True)
    corners = drawn(1).corners
    assert torch.autograd.gradcheck(lambda p: warp(p, corners, (4, 5)), (picture,))
