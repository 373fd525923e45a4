"""Edits of a generated scene against their truth, from the scene on disk to the table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import dff
from dff.data.generated.scene import write_scene
from dff.data.images import load_image
from dff.evaluate.edit_cases import selections_of, thing_of
from dff.evaluate.edited_scene import EDITS, EditFigures, measure_edits
from dff.evaluate.edits import pooled_psnr, widened
from dff.evaluate.edits_table import edit_rows, summarise_edits
from dff.evaluate.masks import intersection_over_union
from dff.evaluate.metrics_file import plain
from dff.evaluate.summary import Summary


def test_rows_become_a_table_and_figures(tmp_path):
    picture = torch.rand(8, 9, 3)
    whole = EditFigures("recolour", "red apple", "text", 27.0, 28.0, 60.0, 0.9, "", (picture,) * 3)
    local = replace(whole, edit="move", local=math.inf, edited=25.0)
    failed = EditFigures("delete with fill", "red apple", "text", failed="it was not found")
    rows, shown = edit_rows([whole, local, failed], tmp_path)
    assert [each.path.exists() for each in shown] == [True, True]
    summary = Summary()
    summarise_edits(summary, plain(rows))
    assert summary.figures["edits/loss/recolour"] == pytest.approx(1.0)
    assert summary.figures["edits/mean_loss"] == pytest.approx((1.0 + 3.0) / 2)
    assert summary.figures["edits/mean_local"] == pytest.approx(60.0)
    assert not any("delete" in name for name in summary.figures)
    (table,) = summary.tables
    assert len(table.rows) == 3
    assert "it was not found" in table.rows[2]


@pytest.mark.slow
def test_figures_are_those_of_the_pictures_and_recolouring_stays_where_it_belongs(
    tmp_path, train_small, colour_teacher, monkeypatch
):
    monkeypatch.setattr("dff.scene.BAKED_RAYS", 20_000)
    small = {"num_objects": 2, "num_train": 14, "num_eval": 2, "width": 64, "height": 48}
    truth = write_scene(tmp_path / "generated", 3, **small)
    config = train_small(truth.path, tmp_path / "trained", 250)
    scene = dff.load(config, "cpu")
    found = measure_edits(scene, config, truth.path, lambda what: None, "click")
    by_edit = {each.edit: each for each in found}
    assert set(by_edit) == set(EDITS)
    recoloured = by_edit["recolour"]
    assert recoloured.failed == ""
    assert len(recoloured.pictures) == 3
    # So small a scene, so shortly trained, selects badly: the figures must say how badly.
    thing = thing_of(truth)
    views = scene.views("eval")
    selection = scene.select(selections_of(truth, thing)["click"].query())
    masks = torch.stack([scene.see(view.camera).mask(selection) for view in views])
    shown = [truth.masks(truth.frames[view.name])[1] == thing.instance for view in views]
    target = torch.from_numpy(np.stack(shown))
    assert recoloured.iou == pytest.approx(intersection_over_union(masks, target))
    renders = [scene.render(view.camera)["rgb"] for view in views]
    photos = [load_image(view.path) for view in views]
    near = [widened(each) for each in target]
    assert recoloured.unedited == pytest.approx(pooled_psnr(renders, photos, near), abs=1e-4)
    # A hue that turns where it is selected changes nothing elsewhere.
    assert recoloured.local > 30
