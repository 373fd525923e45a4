"""What of dff nerfstudio's own viewer shows."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer import Viewer
from nerfstudio.viewer.viewer_elements import ViewerClick, ViewerControl, ViewerElement

from dff.edits.storage import parse_document, save_document
from dff.scene import load
from dff.viewer_panel import ALIKE, PANEL_TITLE


@pytest.fixture
def viewed(trained):
    """A scene of its own, as a viewer holds it: the panel, and a stand-in for the viewer."""
    scene = load(trained, device="cpu")
    panel = scene.pipeline.viewer_panel
    lock = threading.Lock()
    rerendered = []
    viewer = SimpleNamespace(
        train_lock=lock,
        log_filename=trained.parent / "viewer_log_filename.txt",
        _trigger_rerender=lambda: rerendered.append(lock.locked()),
    )
    panel.control.viewer = viewer
    return SimpleNamespace(scene=scene, panel=panel, lock=lock, rerendered=rerendered)


def rendered(scene) -> dict[str, torch.Tensor]:
    camera = scene.views("eval")[0].camera
    return scene.model.get_outputs_for_camera(camera)


def typed(element, text: str) -> None:
    element.default_value = text  # what it holds as long as no window shows it


def test_the_viewer_finds_all_of_it(viewed):
    names = [element.name for _, element in parse_object(viewed.scene.pipeline, ViewerElement, "")]
    assert names == [
        "Words",
        "But not",
        "Find",
        "Click to select",
        "Threshold",
        "Says",
        "Edit document",
        "Show edited",
    ]
    assert len(parse_object(viewed.scene.pipeline, ViewerControl, "")) == 1


def test_the_viewer_shows_them_under_a_title_for_people(viewed):
    places = [place for place, _ in parse_object(viewed.scene.pipeline, ViewerElement, "Custom")]
    assert {place.rsplit("/", 1)[0] for place in places} == {f"Custom/{PANEL_TITLE}"}


def test_words_become_outputs(viewed):
    plain = rendered(viewed.scene)
    assert "overlay" not in plain
    typed(viewed.panel.words, "red")
    typed(viewed.panel.negatives, "table, sky, green")
    viewed.panel.find.cb_hook(viewed.panel.find)
    shown = rendered(viewed.scene)
    assert torch.equal(shown["rgb"], plain["rgb"])
    for name in ("heatmap", "overlay", "features_pca"):
        assert shown[name].shape == (18, 24, 3)
        assert 0 <= float(shown[name].min()) <= float(shown[name].max()) <= 1
    # Bright where the picture is red, dark elsewhere.
    red = (plain["rgb"][..., 0] > 0.4) & (plain["rgb"][..., 1] < 0.25)
    scores = shown["heatmap"][..., 0] - shown["heatmap"][..., 2]  # turbo: red is high
    assert float(scores[red].mean()) > float(scores[~red].mean()) + 0.5


def test_an_unknown_word_is_said_in_one_line_and_changes_nothing(viewed, capsys):
    typed(viewed.panel.words, "zebra")
    viewed.panel.find.cb_hook(viewed.panel.find)
    assert capsys.readouterr().out.startswith("error: unknown word 'zebra'")
    assert "overlay" not in rendered(viewed.scene)
    typed(viewed.panel.words, "")
    viewed.panel.find.cb_hook(viewed.panel.find)
    assert "at least one text" in capsys.readouterr().out


def test_a_click_takes_the_lock_and_selects_what_is_there(viewed, monkeypatch):
    registered = []
    control = viewed.panel.control
    monkeypatch.setattr(
        control, "register_pointer_cb", lambda kind, action: registered.append((kind, action))
    )
    monkeypatch.setattr(control, "unregister_pointer_cb", lambda: None)
    viewed.panel.click.cb_hook(viewed.panel.click)
    ((kind, action),) = registered
    assert kind == "click"
    camera = viewed.scene.views("eval")[0].camera
    plain = rendered(viewed.scene)
    red = (plain["rgb"][..., 0] > 0.4) & (plain["rgb"][..., 1] < 0.25)
    y, x = red.nonzero().float().mean(dim=0).round().long().tolist()
    rays = camera.generate_rays(camera_indices=0, keep_shape=True)
    held = []
    locked = viewed.panel._locked

    @contextlib.contextmanager
    def watched():
        with locked():
            held.append(viewed.lock.locked())
            yield

    monkeypatch.setattr(viewed.panel, "_locked", watched)
    action(
        ViewerClick(
            tuple(rays.origins[y, x].tolist()), tuple(rays.directions[y, x].tolist()), (0, 0)
        )
    )
    assert held == [True, True]
    assert viewed.rerendered == [False]  # after the lock was given back
    shown = rendered(viewed.scene)
    mask = (shown["overlay"] - plain["rgb"])[..., 0]
    assert float(mask[red].mean()) > float(mask[~red].mean())


def test_an_edit_document_is_shown_and_taken_back(viewed, tmp_path, capsys):
    path = tmp_path / "edits.yml"
    step = {"selection": {"text": ["red"]}, "operation": {"type": "delete"}}
    save_document(parse_document({"version": 1, "steps": [step]}), path)
    before = rendered(viewed.scene)["rgb"]
    typed(viewed.panel.document, str(path))
    viewed.panel.load.cb_hook(viewed.panel.load)
    assert not torch.equal(rendered(viewed.scene)["rgb"], before)
    typed(viewed.panel.document, "")
    viewed.panel.load.cb_hook(viewed.panel.load)
    assert torch.equal(rendered(viewed.scene)["rgb"], before)
    typed(viewed.panel.document, str(tmp_path / "none.yml"))
    viewed.panel.load.cb_hook(viewed.panel.load)
    assert "none.yml" in capsys.readouterr().out


@pytest.fixture
def really_viewed(trained, tmp_path):
    """A scene of its own in nerfstudio's viewer itself, with the lock that it takes."""
    scene = load(trained, device="cpu")
    config = ViewerConfig(websocket_host="127.0.0.1")
    viewer = Viewer(
        config, tmp_path / "viewer.txt", tmp_path, scene.pipeline, train_lock=threading.Lock()
    )
    yield SimpleNamespace(scene=scene, panel=scene.pipeline.viewer_panel, viewer=viewer)
    viewer.viser_server.stop()


def ends(action) -> bool:
    """Whether something is done within a while: what waits for a lock that it holds is not."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


def test_nerfstudios_viewer_gets_an_answer_and_its_lock_back(really_viewed):
    panel, viewer = really_viewed.panel, really_viewed.viewer
    panel.words.value = "red"
    assert ends(lambda: panel.find.cb_hook(panel.find))
    assert panel.said.value == "see outputs heatmap, overlay: red"
    assert not viewer.train_lock.locked()
    panel.words.value = "zebra"
    assert ends(lambda: panel.find.cb_hook(panel.find))
    assert "zebra" in panel.said.value
    rays = really_viewed.scene.views("eval")[0].camera.generate_rays(0, keep_shape=True)
    middle = rays[9, 12]
    click = ViewerClick(tuple(middle.origins.tolist()), tuple(middle.directions.tolist()), (0, 0))
    assert ends(lambda: panel._told(lambda: panel._at(click)))
    assert panel.threshold.value == ALIKE
    assert panel.said.value == "see outputs heatmap, overlay: the click"
    assert not viewer.train_lock.locked()
    assert "overlay" in rendered(really_viewed.scene)
