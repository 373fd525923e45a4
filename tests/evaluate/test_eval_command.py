"""`dff eval` from the outside: figures, files, going on after an interruption, and bad input."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score

import dff.evaluate.run
from dff.cli import main
from dff.data.images import load_image
from dff.evaluate.pictures import psnr
from dff.evaluate.segmentation import labels_of_hidden, labels_of_image

sys.path.insert(0, str(Path(__file__).parent))

from tiny_labels import CLASSES, LABELLED, write_labels


def evaluate(*parts: object) -> None:
    main(["eval", *(str(part) for part in parts)])


@pytest.fixture
def labels(tmp_path, truth) -> Path:
    return write_labels(tmp_path / "labels", truth)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> dict[str, Path]:
    """One evaluation that several tests look at; made by the first that asks."""
    return {"folder": tmp_path_factory.mktemp("kept")}


@pytest.fixture
def done(kept, trained, truth) -> Path:
    """A finished evaluation."""
    folder = kept["folder"] / "out"
    if not folder.exists():
        labels = write_labels(kept["folder"] / "labels", truth)
        evaluate("--load-config", trained, "--data", labels, "--output", folder)
    return folder


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_figures_are_those_of_the_pictures(done, scene, truth):
    found = metrics(done)
    assert found["version"] == 1
    figures = found["figures"]
    held_out = scene.views("eval")
    expected = [psnr(scene.render(v.camera)["rgb"], load_image(v.path)) for v in held_out]
    assert figures["views/psnr"] == pytest.approx(np.mean(expected))
    assert figures["views/psnr_without_features"] == figures["views/psnr"]
    words = list(CLASSES.values())
    views = scene.views(names=LABELLED)
    target = np.concatenate([truth(view.name).ravel() for view in views])
    hidden = [scene.render(view.camera, hidden=True)["hidden_features"] for view in views]
    embeddings = scene.teacher.encode_text(words)
    of_field = [labels_of_hidden(scene, each, embeddings).numpy().ravel() for each in hidden]
    of_teacher = [
        labels_of_image(scene.teacher, load_image(v.path), words).numpy().ravel() for v in views
    ]
    by = {"field": np.concatenate(of_field), "teacher": np.concatenate(of_teacher)}
    for source, guess in by.items():
        each = jaccard_score(target, guess, average=None)
        assert figures[f"labels/{source}/iou/red"] == pytest.approx(each[2], abs=2e-3)
        assert figures[f"labels/{source}/mean_iou"] == pytest.approx(each[2:].mean(), abs=2e-3)
        accuracy = (guess == target).mean()
        assert figures[f"labels/{source}/accuracy"] == pytest.approx(accuracy, abs=2e-3)
    agreement = jaccard_score(by["teacher"], by["field"], average=None)[2:].mean()
    assert figures["agreement_with_teacher/mean_iou"] == pytest.approx(agreement, abs=2e-3)


def test_every_way_of_asking_is_scored_on_other_images_than_its_prompt(done):
    found = metrics(done)
    figures = found["figures"]
    for way in ("relevancy", "rendered", "selected", "click", "patch"):
        assert 0 <= figures[f"{way}/field/mean_iou"] <= 1
    assert figures["click/field/mean_iou"] > 0.5
    assert figures["selected/field/mean_iou"] > 0.4
    assert 0 <= figures["localisation/field/accuracy"] <= 1
    for frame in found["details"]["frames"]:
        asked = frame.get("asked", {})
        if asked:
            assert "red" in asked["relevancy"]
    clicked = [
        f["image"]
        for f in found["details"]["frames"]
        if "red" in f.get("asked", {}).get("click", {})
    ]
    assert len(clicked) == len(LABELLED) - 1


def test_chosen_classes_are_scored_as_among_all(done, kept, trained, tmp_path):
    """What is taken for a chosen class elsewhere counts, and the other names compete."""
    folder = tmp_path / "out"
    labels = kept["folder"] / "labels"
    run = ("--load-config", trained, "--data", labels, "--output", folder)
    evaluate(*run, "--parts", "labels", "relevancy", "click", "--classes", "red", "table")
    whole, chosen = metrics(done)["figures"], metrics(folder)["figures"]
    for source in ("field", "teacher"):
        for name in ("iou/red", "iou/table", "boundary_iou/red", "accuracy"):
            assert chosen[f"labels/{source}/{name}"] == whole[f"labels/{source}/{name}"]
        both = [whole[f"labels/{source}/iou/{name}"] for name in ("red", "table")]
        assert chosen[f"labels/{source}/mean_iou"] == pytest.approx(np.mean(both))
        for way in ("relevancy", "click"):
            assert chosen[f"{way}/{source}/iou/red"] == whole[f"{way}/{source}/iou/red"]
    assert "relevancy/field/iou/table" in chosen
    assert not any(name.endswith("/green") for name in chosen if not name.startswith("labels/"))


def test_a_rival_that_the_teacher_does_not_know_is_left_out_and_told(
    trained, labels, tmp_path, capsys
):
    content = json.loads((labels / "labels.json").read_text())
    content["classes"]["3"] = "chartreuse"
    (labels / "labels.json").write_text(json.dumps(content))
    run = ("--load-config", trained, "--data", labels, "--parts", "labels")
    evaluate(*run, "--output", tmp_path / "out", "--classes", "red")
    assert "does not know 'chartreuse'" in " ".join(capsys.readouterr().out.split())
    figures = metrics(tmp_path / "out")["figures"]
    assert figures["labels/field/iou/red"] > 0.5
    assert not any("chartreuse" in name for name in figures)
    with pytest.raises(SystemExit):
        evaluate(*run, "--output", tmp_path / "other")
    assert "chartreuse" in capsys.readouterr().err


def test_it_says_where_it_comes_from(done, scene, trained):
    found = metrics(done)
    made = found["made"]
    assert made["checkpoint_sha256"] == scene.fingerprint
    assert made["options"]["config"] == str(trained)
    assert made["labels_format"] == "labels"
    assert made["teachers"][0]["name"] == "colour"
    assert any("LPIPS is left out" in note for note in found["details"]["notes"]) or (
        "views/lpips" in found["figures"]
    )


def test_the_report_holds_everything_itself(done):
    page = (done / "report.html").read_text()
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) > 10
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in page
    assert "<link" not in page
    for words in ("Views", "Label list", "One click", "Agreement with the teacher", "Confusion"):
        assert words in page
    # Every text is one line of a figure that is also in metrics.json.
    figure = metrics(done)["figures"]["views/psnr"]
    assert f"{figure:.4g}" in page


def test_interrupted_it_goes_on_where_it_was(trained, labels, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    score = dff.evaluate.run.FrameScorer.score
    scored: list[str] = []

    def interrupted(self, view, image):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(view.name)
        return score(self, view, image)

    monkeypatch.setattr(dff.evaluate.run.FrameScorer, "score", interrupted)
    run = ("--load-config", trained, "--data", labels, "--output", folder, "--parts", "labels")
    with pytest.raises(SystemExit) as stopped:
        evaluate(*run)
    assert stopped.value.code == 130
    assert not (folder / "metrics.json").exists()

    def counted(self, view, image):
        scored.append(view.name)
        return score(self, view, image)

    monkeypatch.setattr(dff.evaluate.run.FrameScorer, "score", counted)
    evaluate(*run)
    assert sorted(scored) == sorted(LABELLED)
    first = metrics(folder)["figures"]
    # Labels that changed are scored again.
    Image.fromarray(np.full((18, 24), 1, np.uint8)).save(labels / "IMG_01.png")
    evaluate(*run)
    assert len(scored) == 2 * len(LABELLED)
    assert metrics(folder)["figures"] != first


def test_two_evaluations_side_by_side(done, trained, tmp_path, capsys, truth):
    other = tmp_path / "fewer"
    labels = write_labels(tmp_path / "labels", truth, LABELLED[:2])
    evaluate("--load-config", trained, "--data", labels, "--output", other, "--parts", "labels")
    capsys.readouterr()
    evaluate("--compare", done, other, "--output", tmp_path / "both")
    said = capsys.readouterr().out
    assert "labels/field/mean_iou" in said
    assert "different images" in said
    assert (tmp_path / "both" / "comparison.html").exists()
    from dff.evaluate.compare import differences
    from dff.evaluate.metrics_file import read_metrics

    both = [read_metrics(done), read_metrics(other)]
    table = differences(["a", "b"], both)
    row = next(row for row in table.rows if row[0] == "labels/field/mean_iou")
    assert row[3] == pytest.approx(row[2] - row[1])
    assert not any(str(row[0]).startswith("views/") for row in table.rows)


def test_a_scene_without_labels_is_scored_by_its_views(trained, tmp_path):
    folder = tmp_path / "out"
    evaluate("--load-config", trained, "--output", folder, "--resolution-scale", 0.5)
    found = metrics(folder)
    assert found["figures"]["views/psnr"] > 10
    assert not any(name.startswith("labels/") for name in found["figures"])
    assert "no labels" in found["details"]["notes"][0]


def spoil_size(labels: Path) -> None:
    Image.fromarray(np.ones((9, 12), np.uint8)).save(labels / "IMG_04.png")


def spoil_frame(labels: Path) -> None:
    (labels / "IMG_04.png").rename(labels / "IMG_77.png")


def spoil_word(labels: Path) -> None:
    (labels / "labels.json").write_text(json.dumps({"classes": {**CLASSES, "3": "zeppelin"}}))


def spoil_value(labels: Path) -> None:
    Image.fromarray(np.full((18, 24), 9, np.uint8)).save(labels / "IMG_04.png")


def spoil_mask(labels: Path) -> None:
    Image.fromarray(np.full((18, 24), 255, np.uint8)).save(labels / "IMG_04.png")


@pytest.mark.parametrize(
    ("spoil", "more", "says"),
    [
        (spoil_size, (), "labels of IMG_04 are 12x9 pixels, its image 24x18"),
        (spoil_frame, (), "labels of IMG_77, but the scene has no such image"),
        (spoil_word, (), "zeppelin"),
        (spoil_value, (), "the value 9, which has no class"),
        (spoil_mask, (), "is empty"),
        (None, ("--classes", "blue"), "no class 'blue'"),
        (None, ("--leave-out", "IMG_99"), "no such image"),
        (None, ("--format", "lerf-ovs"), "no LERF-OVS label file"),
        (None, ("--resolution-scale", "0"), "above 0"),
        (None, ("--compare", "a", "b"), "leave out --load-config"),
    ],
)
def test_bad_input_is_one_line(trained, labels, tmp_path, capsys, spoil, more, says):
    if spoil is not None:
        spoil(labels)
    with pytest.raises(SystemExit):
        evaluate(
            *("--load-config", trained, "--data", labels, "--output", tmp_path / "out"),
            *("--parts", "labels", *more),
        )
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error:")]
    assert len(errors) == 1
    assert says in errors[0]
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_truncated_run_is_one_line(trained, done, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained.parent, run)
    (checkpoint,) = (run / "nerfstudio_models").glob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    half = tmp_path / "half"
    half.mkdir()
    (half / "metrics.json").write_text((done / "metrics.json").read_text()[:200])
    unfinished = tmp_path / "unfinished"
    (unfinished / "frames").mkdir(parents=True)
    later = tmp_path / "later"
    later.mkdir()
    (later / "metrics.json").write_text(json.dumps({**metrics(done), "version": 99}))
    cases = [
        (("--load-config", run / "config.yml", "--output", tmp_path / "o"), "damaged"),
        (("--load-config", tmp_path / "none.yml", "--output", tmp_path / "o"), "no such config"),
        (("--compare", done, half), "damaged"),
        (("--compare", done, unfinished), "did not finish"),
        (("--compare", done, later), "version 99"),
        (("--compare", done), "two or more"),
        (("--compare", done, done, "--data", done), "leave out --data"),
        (
            ("--compare", done, done, "--resolution-scale", 0.5, "--classes", "red"),
            "leave out --classes, --resolution-scale",
        ),
        (("--output", tmp_path / "o"), "give --load-config"),
    ]
    for arguments, says in cases:
        with pytest.raises(SystemExit):
            evaluate(*arguments)
        lines = capsys.readouterr().err.strip().splitlines()
        errors = [line for line in lines if line.startswith("error:")]
        assert len(errors) == 1, says
        assert says in errors[0]


def test_pictures_of_known_truth_only(labels, trained, tmp_path):
    """Pixels of value 255 count for nothing: labels with half of them unknown score the rest."""
    values = np.asarray(Image.open(labels / "IMG_04.png")).copy()
    values[:, :12] = 255
    for other in ("IMG_01", "IMG_08"):
        (labels / f"{other}.png").unlink()
    Image.fromarray(values).save(labels / "IMG_04.png")
    folder = tmp_path / "out"
    evaluate("--load-config", trained, "--data", labels, "--output", folder, "--parts", "labels")
    (frame,) = metrics(folder)["details"]["frames"]
    assert torch.tensor(frame["labels"]["field"]).sum() == 18 * 12
