"""The inventory of a trained scene: a table, a picture of each thing, and a file of facts."""

from __future__ import annotations

import io
import json

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from rich.console import Console

from dff.best_views import best_views
from dff.errors import DffError
from dff.inventory import Entry, cut_out, known_labels, table_of, write_inventory
from dff.selection.inventory import Name, Thing


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def thing(mask: list[bool]) -> Thing:
    corner = torch.zeros(3)
    return Thing(torch.tensor(mask), sum(mask), 0.5, corner, corner + 1, corner, torch.ones(2))


def looking_down(x: float, height: float = 2.0) -> Cameras:
    """A camera above (x, 0), looking down, 40 x 40 pixels, a right angle wide."""
    pose = torch.eye(4)[None, :3].clone()
    pose[0, :, 3] = torch.tensor([x, 0.0, height])
    return Cameras(pose, fx=20.0, fy=20.0, cx=20.0, cy=20.0, width=40, height=40)


class TestBestViews:
    def test_the_camera_that_shows_most_is_chosen(self):
        line = torch.linspace(-4, 4, 81)
        points = torch.stack([line, 0 * line, 0 * line], dim=1)
        left, right = line < -1, line > 1
        things = [thing(left.tolist()), thing(right.tolist())]
        cameras = [looking_down(0.0), looking_down(2.5), looking_down(-2.5)]
        assert best_views(things, points, cameras) == [2, 1]

    def test_what_is_hidden_or_behind_does_not_count(self):
        line = torch.linspace(-1, 1, 41)
        below = torch.stack([line, 0 * line, 0 * line], dim=1)
        lid = below + torch.tensor([0.0, 0.0, 0.02])
        above = below + torch.tensor([0.0, 0.0, 5.0])
        points = torch.cat([below, lid, above])
        things = [thing([number // 41 == k for number in range(123)]) for k in range(3)]
        assert best_views(things, points, [looking_down(0.0)]) == [None, 0, None]


class TestCutOut:
    def test_the_crop_holds_the_mask_with_some_room(self):
        mask = torch.zeros(40, 60, dtype=torch.bool)
        mask[10:20, 30:40] = True
        crop = cut_out(torch.full((40, 60, 3), 0.5), mask)
        assert crop.shape == (10 + 2 * 4, 10 + 2 * 4, 3)
        inner, rim = crop[4:14, 4:14], crop[0]
        assert bool((inner[..., 0] > rim[0, 0]).all())

    def test_a_crop_ends_with_the_picture_and_no_mask_is_all_of_it(self):
        mask = torch.ones(8, 6, dtype=torch.bool)
        assert cut_out(torch.rand(8, 6, 3), mask).shape == (8, 6, 3)
        assert cut_out(torch.rand(8, 6, 3), ~mask).shape == (8, 6, 3)


class TestKnownLabels:
    def test_unknown_ones_are_left_out(self, colour_teacher):
        kept, embeddings = known_labels(colour_teacher, ("red", "zebra", "table", "oboe"))
        assert kept == ("red", "table")
        torch.testing.assert_close(embeddings, colour_teacher.encode_text(["red", "table"]))

    def test_none_known_is_one_line(self, colour_teacher):
        with pytest.raises(DffError, match="none of the 2 labels") as error:
            known_labels(colour_teacher, ("zebra", "oboe"))
        assert "\n" not in str(error.value)


class TestScene:
    @pytest.fixture
    def labels(self, tmp_path):
        path = tmp_path / "labels.txt"
        path.write_text("red\ngreen\ntable\nzebra\n")
        return path

    def test_the_two_balls_are_found_and_named(self, scene, truth, tmp_path, labels):
        out, told = tmp_path / "out", console()
        entries = write_inventory(scene, out, labels, console=told)
        by_label = {entry.name.label: entry for entry in reversed(entries)}
        assert set(by_label) == {"red", "green", "table"}
        assert by_label["red"].thing.centre[0] > 0.1 > -0.1 > by_label["green"].thing.centre[0]
        assert "does not know 1 of the 4 labels" in printed(told)
        assert "red (" in printed(told)

        document = json.loads((out / "things.json").read_text())
        assert document["checkpoint"] == scene.fingerprint
        assert [fact["number"] for fact in document["things"]] == [e.number for e in entries]
        for fact, entry in zip(document["things"], entries, strict=True):
            assert fact["label"] == entry.name.label
            assert fact["low"] == pytest.approx(entry.thing.low.tolist())
            with Image.open(out / fact["picture"]) as picture:
                assert max(picture.size) <= 24
            selection = scene.load_selection(out / fact["selection"])
            assert torch.equal(selection.values >= 0.5, entry.thing.mask)

    def test_without_labels_there_are_no_names(self, scene, tmp_path):
        told = console()
        entries = write_inventory(scene, tmp_path / "out", console=told)
        assert all(entry.name is None for entry in entries)
        assert "runner-up" not in printed(told)
        assert (tmp_path / "out" / "pictures" / "01_thing.png").is_file()

    def test_labels_that_no_one_knows_are_one_line(self, scene, tmp_path):
        path = tmp_path / "labels.txt"
        path.write_text("zebra\noboe\n")
        with pytest.raises(DffError, match="none of the 2 labels"):
            write_inventory(scene, tmp_path / "out", path, console=console())
        with pytest.raises(DffError, match="cannot read label file"):
            write_inventory(scene, tmp_path / "out", tmp_path / "no.txt", console=console())
        assert not (tmp_path / "out").exists()


def test_a_label_is_no_markup():
    told = console()
    entry = Entry(1, thing([True]), Name("[red]mug[/red]", 0.9), None)
    told.print(table_of([entry]))
    assert "[red]mug[/red] (0.90)" in printed(told)
    assert entry.stem == "01__red_mug__red_"
