"""``dff render``: several documents, side by side, depth, jobs, and what does not go together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dff.cli import main
from dff.errors import UsageError
from dff.pictures import to_bytes

RED = {"text": ["red"], "negative": ["table", "sky", "green"]}
GREEN = {"text": ["green"], "negative": ["table", "sky", "red"]}
DELETE = {"type": "delete"}
WHERE = ("--trajectory", "dataset", "--frames", "IMG_03")


def write(path: Path, *steps: tuple[dict, dict]) -> Path:
    made = [{"selection": selection, "operation": operation} for selection, operation in steps]
    path.write_text(json.dumps({"version": 1, "steps": made}))
    return path


def render(trained: Path, *more: object) -> None:
    main([str(part) for part in ("render", "--load-config", trained, *more)])


def error_line(capsys, *more: object) -> tuple[str, int | str | None]:
    """The one line that a command which must fail leaves on standard error, and its status."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as raised:
        main([str(part) for part in ("render", *more)])
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line, raised.value.code


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_several_documents_act_one_after_the_other(trained, tmp_path, scene):
    first = write(tmp_path / "first.yml", (RED, DELETE))
    second = write(tmp_path / "second.yml", (GREEN, DELETE))
    both = write(tmp_path / "both.yml", (RED, DELETE), (GREEN, DELETE))
    render(trained, "--output-path", tmp_path / "two", *WHERE, "--edits", first, second)
    render(trained, "--output-path", tmp_path / "one", *WHERE, "--edits", both)
    (view,) = scene.views(names=["IMG_03"])
    plain = to_bytes(scene.render(view.camera)["rgb"])
    assert np.array_equal(read(tmp_path / "two/IMG_03.png"), read(tmp_path / "one/IMG_03.png"))
    assert np.abs(read(tmp_path / "one/IMG_03.png").astype(int) - plain).max() > 40


def test_side_by_side_shows_before_and_each_document_alone(trained, tmp_path, capsys):
    first = write(tmp_path / "first.yml", (RED, DELETE))
    second = write(tmp_path / "second.yml", (GREEN, DELETE))
    compared = tmp_path / "compared"
    more = ("--edits", first, second, "--side-by-side", "--depth")
    render(trained, "--output-path", compared, *WHERE, *more)
    assert sorted(p.name for p in compared.iterdir()) == ["IMG_03.png", "IMG_03_depth.exr"]
    row = read(compared / "IMG_03.png")
    assert row.shape == (18, 72, 3)
    for place, edits in enumerate([(), ("--edits", first), ("--edits", second)]):
        alone = tmp_path / str(place)
        render(trained, "--output-path", alone, *WHERE, *edits)
        assert np.array_equal(row[:, 24 * place :][:, :24], read(alone / "IMG_03.png"))
    capsys.readouterr()
    render(trained, "--output-path", compared, *WHERE, *more)
    assert "1 of 1 frames are finished" in capsys.readouterr().out


def test_a_spiral_becomes_a_webp(trained, tmp_path):
    path = tmp_path / "out.webp"
    more = ("--trajectory", "spiral", "--num-frames", 3, "--resolution-scale", 0.5)
    render(trained, "--output-path", path, *more)
    with Image.open(path) as video:
        assert (video.n_frames, video.size) == (3, (12, 9))


def test_images_may_be_jpeg(trained, tmp_path):
    render(trained, "--output-path", tmp_path / "out", *WHERE, "--image-format", "jpeg")
    with Image.open(tmp_path / "out" / "IMG_03.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (24, 18))


def test_the_captures_photos_are_not_written_over(trained, capture, capsys):
    images = capture / "images"
    before = (images / "IMG_03.png").read_bytes()
    line, _ = error_line(capsys, "--load-config", trained, "--output-path", images, *WHERE)
    assert "--overwrite" in line
    assert (images / "IMG_03.png").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "--output-path"),
        (("--output-path", "out", "--side-by-side"), "--edits"),
        (("--write-config", "edited.yml"), "--edits"),
        (("--output-path", "out", "--frames", "IMG_03"), "--trajectory dataset"),
    ],
)
def test_what_makes_no_sense_together_ends_with_status_2(trained, capsys, more, says):
    line, status = error_line(capsys, "--load-config", trained, *more)
    assert says in line
    assert status == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--jobs", 0), "number of jobs"),
        (("--device", "gpu"), "--device gpu"),
        (("--trajectory", "spiral", "--num-frames", 0), "spiral needs"),
        (("--edits", "nothing.yml"), "no such edit document"),
    ],
)
def test_bad_options_are_one_line(trained, tmp_path, capsys, more, says):
    common = ("--load-config", trained, "--output-path", tmp_path / "out")
    line, status = error_line(capsys, *common, *more)
    assert says in line
    assert status == 1
    assert not (tmp_path / "out").exists()


def test_jobs_do_the_same_work_without_starting_more(trained, tmp_path, monkeypatch):
    started = []

    def run_jobs(work, jobs: int) -> None:
        started.append(jobs)
        work()

    monkeypatch.setattr("dff.local_jobs.run_jobs", run_jobs)
    edits = write(tmp_path / "edits.yml", (RED, DELETE))
    more = ("--edits", edits, "--write-config", tmp_path / "edited.yml", "--jobs", 3)
    render(trained, "--output-path", tmp_path / "out", *WHERE, *more)
    assert started == [3]
    assert (tmp_path / "out" / "IMG_03.png").exists()
    assert (tmp_path / "edited.yml").exists()


def test_a_usage_error_of_a_job_is_one_here(trained, tmp_path, capsys, monkeypatch):
    def run_jobs(work, jobs: int) -> None:
        raise UsageError("ask for something else")

    monkeypatch.setattr("dff.local_jobs.run_jobs", run_jobs)
    common = ("--load-config", trained, "--output-path", tmp_path / "out", "--jobs", 2)
    assert error_line(capsys, *common) == ("error: ask for something else", 2)
