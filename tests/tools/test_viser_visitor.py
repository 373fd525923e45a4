"""The client without a browser against a server of viser: what each says, the other hears."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import viser
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
pytest.importorskip("zstandard", reason="this viser speaks an older protocol")
from viser_visitor import Pose, Visitor

SECONDS = 20.0


@pytest.fixture
def server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    yield server
    server.stop()


@pytest.fixture
def visitor(server):
    visitor = Visitor("127.0.0.1", server.get_port(), patience=SECONDS)
    yield visitor
    visitor.close()


def test_values_and_buttons_reach_the_server(server, visitor):
    told = threading.Event()
    slider = server.gui.add_slider("amount", min=0.0, max=1.0, step=0.1, initial_value=0.2)
    button = server.gui.add_button("go")
    heard = []

    @button.on_click
    def _(event):
        heard.append((slider.value, event.client is not None))
        told.set()

    assert visitor.element("amount").state["value"] == 0.2
    visitor.set("amount", 0.7)
    visitor.press("go")
    assert told.wait(SECONDS)
    assert heard == [(0.7, True)]


def test_labels_follow_the_server(server, visitor):
    button = server.gui.add_button("before")
    visitor.element("before")
    button.label = "after"
    assert visitor.element("after", "Button").uuid == button._impl.uuid


def test_pictures_are_timed_and_measured(server, visitor):
    server.scene.set_background_image(np.zeros((30, 40, 3), dtype=np.uint8), format="jpeg")
    small = visitor.picture(0.0)
    server.scene.set_background_image(np.zeros((60, 80, 3), dtype=np.uint8), format="jpeg")
    large = visitor.picture(0.0, least=80)
    assert large.at > small.at
    with pytest.raises(TimeoutError, match="in vain for a picture of 81 pixels"):
        visitor.picture(0.0, least=81, patience=0.01)


def test_quiet_gives_what_came_and_forgets_it(server, visitor):
    server.gui.add_markdown("hello")
    visitor.after(0.0, lambda event: event.kind == "GuiMarkdownMessage", "a text")
    assert any(event.kind == "GuiMarkdownMessage" for event in visitor.quiet(0.05, 1.0))
    assert visitor.quiet(0.05, 1.0) == []


def test_a_pose_looks_at_its_target():
    pose = Pose(position=(2.0, 1.0, 3.0), look_at=(0.0, 0.5, 0.0))
    w, x, y, z = pose.wxyz
    matrix = Rotation.from_quat([x, y, z, w]).as_matrix()
    forward = np.subtract(pose.look_at, pose.position)
    np.testing.assert_allclose(matrix[:, 2], forward / np.linalg.norm(forward), atol=1e-12)
    assert matrix[2, 0] == pytest.approx(0.0, abs=1e-12)  # the horizon is level
    assert matrix[2, 1] < 0  # and y points down
    np.testing.assert_allclose(pose.ray(0.5, 0.5), matrix[:, 2], atol=1e-12)
    x, y, z = matrix.T @ pose.ray(1.0, 0.0)
    half = np.tan(pose.fov / 2)
    assert (x / z, y / z) == pytest.approx((half * pose.width / pose.height, -half))
    aside = np.subtract(pose.aside(0.1).position, pose.position)
    assert np.linalg.norm(aside) == pytest.approx(0.1 * np.linalg.norm(forward))
    assert aside @ forward == pytest.approx(0.0, abs=1e-12)
    assert pose.scaled(10).wxyz == pytest.approx(pose.wxyz)
