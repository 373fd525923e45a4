"""Where things are put: similarities and extents against plain float64 arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from dff.edits import Replace, TextSelection, Transform
from dff.edits.placement import Extent
from dff.edits.similarity import Similarity, rotation_from_degrees

angles = st.tuples(*[st.floats(-360, 360)] * 3)
points = st.tuples(*[st.floats(-10, 10)] * 3)
scales = st.floats(0.05, 20)


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(got, expected, tolerance=1e-9) -> None:
    torch.testing.assert_close(
        torch.as_tensor(got), torch.as_tensor(expected), rtol=tolerance, atol=tolerance
    )


def matrix_of(similarity: Similarity) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = similarity.scale * similarity.rotation.numpy()
    matrix[:3, 3] = similarity.translation.numpy()
    return matrix


@st.composite
def similarities(draw) -> Similarity:
    rotation = tensor(Rotation.from_euler("xyz", draw(angles), degrees=True).as_matrix())
    return Similarity(rotation, draw(scales), tensor(draw(points)))


@given(angles)
def test_rotations_are_those_of_scipy(degrees):
    expected = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    close(rotation_from_degrees(degrees), tensor(expected))


@pytest.mark.parametrize(
    ("degrees", "goes", "to"),
    [((90, 0, 0), (0, 1, 0), (0, 0, 1)), ((0, 90, 0), (0, 0, 1), (1, 0, 0))]
    + [((0, 0, 90), (1, 0, 0), (0, 1, 0)), ((90, 0, 90), (0, 1, 0), (0, 0, 1))],
)
def test_turns_are_right_handed_and_x_comes_first(degrees, goes, to):
    close(rotation_from_degrees(degrees) @ tensor(goes).double(), tensor(to).double())


@given(similarities(), points)
def test_points_and_directions_against_homogeneous_matrices(similarity, point):
    expected = (matrix_of(similarity) @ [*point, 1.0])[:3]
    close(similarity.apply(tensor(point)), tensor(expected))
    direction = tensor(point)
    turned = similarity.turn(direction)
    close(turned, similarity.rotation @ direction)
    close(turned.norm(), direction.norm())


@given(similarities(), similarities(), points)
def test_inverse_and_composition_are_those_of_matrices(first, second, point):
    close(tensor(matrix_of(first.inverse())), tensor(np.linalg.inv(matrix_of(first))), 1e-7)
    close(first.inverse().apply(first.apply(tensor(point))), tensor(point), 1e-7)
    both = matrix_of(second) @ matrix_of(first)
    close(tensor(matrix_of(second.after(first))), tensor(both), 1e-7)


@given(points, angles, scales, points, points)
def test_about_a_pivot(pivot, degrees, scale, shift, point):
    rotation = rotation_from_degrees(degrees)
    similarity = Similarity.about(tensor(pivot), rotation, scale, tensor(shift))
    close(similarity.apply(tensor(pivot)), tensor(pivot) + tensor(shift), 1e-8)
    by_hand = tensor(pivot) + scale * rotation @ (tensor(point) - tensor(pivot)) + tensor(shift)
    close(similarity.apply(tensor(point)), by_hand, 1e-8)


@given(similarities())
def test_a_similarity_comes_back_from_its_matrix(similarity):
    again = Similarity.from_matrix(tensor(matrix_of(similarity)))
    close(tensor(matrix_of(again)), tensor(matrix_of(similarity)), 1e-8)
    # Rounded as in a file: what comes out is a rotation all the same.
    rounded = Similarity.from_matrix(tensor(np.round(matrix_of(similarity), 6)))
    close(rounded.rotation @ rounded.rotation.T, torch.eye(3, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.diag([1, 2, 1, 1]), "not rigid"),
        (np.diag([1, 1.001, 1, 1]), "not rigid"),
        (np.eye(4) + 0.01 * np.eye(4, k=1), "not rigid"),
        (np.diag([-1, 1, 1, 1]), "mirrors or flattens"),
        (np.diag([0, 1, 1, 1]), "mirrors or flattens"),
        (np.full((4, 4), np.nan), "mirrors or flattens"),
        (np.diag([1, 1, 1, 2]), "last row"),
        (np.eye(4) + np.eye(4, k=-3), "last row"),
    ],
)
def test_other_matrices_are_refused(matrix, says):
    with pytest.raises(ValueError, match=says):
        Similarity.from_matrix(tensor(matrix.tolist()))


def test_only_the_identity_is_the_identity():
    eye, zero = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    assert Similarity(eye, 1.0, zero).is_identity
    assert Extent(-eye[0], eye[0], eye).similarity(Transform()).is_identity
    assert not Similarity(eye, 1.0 + 1e-9, zero).is_identity
    assert not Similarity(eye, 1.0, zero + 1e-12).is_identity
    assert not Similarity(rotation_from_degrees((0, 0, 1e-6)), 1.0, zero).is_identity
    for whole in ((0, 0, 360), (-360, 720, 0)):
        assert Similarity(rotation_from_degrees(whole), 1.0, zero).is_identity
    quarters = rotation_from_degrees((90, 0, -270))
    assert torch.equal(quarters, quarters.round())


def box_points(size, turn, middle) -> torch.Tensor:
    """Evenly spaced points of a turned box, float64."""
    lines = [torch.linspace(-0.5, 0.5, 21, dtype=torch.float64) * side for side in size]
    return torch.cartesian_prod(*lines) @ turn.T + tensor(middle)


def test_an_extent_is_where_the_points_are():
    turn = rotation_from_degrees((0, 0, 30))
    extent = Extent.of(box_points((2.0, 0.5, 1.0), turn, (1.0, 2.0, 3.0)))
    close(extent.center, tensor((1.0, 2.0, 3.0)), 1e-6)
    close(extent.base, tensor((1.0, 2.0, 2.5)), 1e-6)
    # The longest side lies along the turned x axis, then z, then y.
    close(extent.axes[:, 0], turn[:, 0], 1e-6)
    close(extent.axes[:, 1], tensor((0.0, 0.0, 1.0)), 1e-6)
    close(torch.linalg.det(extent.axes), tensor(1.0))
    close(extent.axes.T @ extent.axes, torch.eye(3, dtype=torch.float64))


def test_a_stray_point_moves_nothing():
    points = box_points((2.0, 0.5, 1.0), torch.eye(3, dtype=torch.float64), (0, 0, 0))
    stray = torch.cat([points, tensor([[0.0, 0.0, 50.0]])])
    close(Extent.of(stray).center, Extent.of(points).center, 1e-6)
    close(Extent.of(stray).high, Extent.of(points).high, 1e-6)


@given(similarities())
def test_an_extent_goes_with_its_points(similarity):
    points = box_points((2.0, 0.5, 1.0), torch.eye(3, dtype=torch.float64), (0.3, 0.1, -0.2))
    moved = Extent.of(similarity.apply(points))
    along = moved.axes.T @ similarity.rotation @ Extent.of(points).axes
    # The same axes, but for the sense of each.
    close(along.abs(), torch.eye(3, dtype=torch.float64), 1e-6)


EXTENT = Extent(
    tensor((1.0, 1.0, 0.0)), tensor((2.0, 3.0, 4.0)), rotation_from_degrees((0.0, 0.0, 90.0))
)


@pytest.mark.parametrize(
    ("pivot", "stays"),
    [("center", (1.5, 2.0, 2.0)), ("base", (1.5, 2.0, 0.0)), ((7.0, -8.0, 9.0), (7.0, -8.0, 9.0))],
)
def test_the_pivot_stays_where_it_is(pivot, stays):
    turned = Transform(rotate=(10, 20, 30), scale=2.5, pivot=pivot)
    close(EXTENT.pivot(turned), tensor(stays))
    close(EXTENT.similarity(turned).apply(tensor(stays)), tensor(stays))


def test_world_and_object_axes():
    middle = EXTENT.center
    shifted = {"translate": (1.0, 0.0, 0.0), "rotate": (90.0, 0.0, 0.0)}
    world = EXTENT.similarity(Transform(**shifted))
    close(world.apply(middle) - middle, tensor((1.0, 0.0, 0.0)))
    close(world.turn(tensor((0.0, 1.0, 0.0))), tensor((0.0, 0.0, 1.0)))
    # The object's first axis is the world's y.
    own = EXTENT.similarity(Transform(**shifted, axes="object"))
    close(own.apply(middle) - middle, tensor((0.0, 1.0, 0.0)))
    close(own.turn(tensor((0.0, 0.0, 1.0))), tensor((1.0, 0.0, 0.0)))


@pytest.mark.parametrize("rotate", [(0, 0, 0), (360, 0, 0), (0, -720, 360), (180, 180, 180)])
@pytest.mark.parametrize("axes", ["world", "object"])
def test_full_turns_are_none_in_whatever_axes(rotate, axes):
    points = torch.rand(30, 3, dtype=torch.float64) * tensor((3.0, 2.0, 1.0))
    turn = tensor(Rotation.from_euler("xyz", (20, 50, 70), degrees=True).as_matrix())
    assert Extent.of(points @ turn.T).similarity(Transform(rotate=rotate, axes=axes)).is_identity


@given(similarities())
def test_a_matrix_is_taken_as_it_is(similarity):
    rows = matrix_of(similarity).tolist()
    placed = EXTENT.similarity(Transform(matrix=rows))
    close(tensor(matrix_of(placed)), tensor(rows), 1e-8)


def test_a_matrix_keeps_the_precision_of_its_numbers():
    rows = np.eye(4).tolist()
    rows[0][3] = 123.45678901234
    assert float(EXTENT.similarity(Transform(matrix=rows)).translation[0]) == 123.45678901234


def test_a_matrix_and_parameters_exclude_each_other():
    eye = np.eye(4).tolist()
    with pytest.raises(ValidationError, match="either matrix or scale, not both"):
        Transform(matrix=eye, scale=2.0)
    assert Transform(matrix=eye, scale=1.0) == Transform(matrix=eye)
    assert set(Transform(matrix=eye).model_dump()) == {"type", "matrix", "fill"}


def test_a_replacement_is_turned_like_everything_else():
    by = TextSelection(text=("apple",))
    similarity = EXTENT.similarity(Replace(by=by, rotate=(0, 0, 90), scale=2.0))
    close(similarity.apply(EXTENT.base), EXTENT.base)
    assert similarity.scale == 2.0
    assert math.isclose(float(torch.linalg.det(similarity.rotation)), 1.0)


def test_points_keep_their_precision():
    similarity = Similarity(rotation_from_degrees((1, 2, 3)), 2.0, tensor((1.0, 2.0, 3.0)))
    for kind in (torch.float32, torch.float64):
        points = torch.rand(4, 5, 3, dtype=kind)
        assert similarity.apply(points).dtype == similarity.turn(points).dtype == kind
        assert similarity.apply(points).shape == points.shape
