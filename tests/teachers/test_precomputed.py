"""Maps from a folder: every format and layout, reduced by area, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dff.errors import DffError
from dff.teachers import TeacherOptions, get_teacher
from dff.teachers.options import PrecomputedOptions
from dff.teachers.precomputed import OFFICIAL_ENDING, PrecomputedTeacher

HEIGHT, WIDTH, DIM = 4, 6, 16


def write(path: Path, array: torch.Tensor) -> Path:
    if path.suffix == ".npy":
        np.save(path, array.numpy())
    elif path.suffix == ".safetensors":
        save_file({"features": array.contiguous()}, path)
    else:
        torch.save(array, path)
    return path


def features(seed: int = 0) -> torch.Tensor:
    """(h, w, D), of any length."""
    return torch.randn(HEIGHT, WIDTH, DIM, generator=torch.Generator().manual_seed(seed)) * 3


def no_image(path: Path) -> torch.Tensor:
    raise AssertionError("the image itself is not needed")


def read(folder: Path, image: str, **options) -> torch.Tensor:
    teacher = PrecomputedTeacher.open(PrecomputedOptions(folder=folder, **options))
    return teacher.encode_file(Path("photos") / image, no_image)


@pytest.mark.parametrize("ending", [".npy", ".pt", ".safetensors"])
@pytest.mark.parametrize("named", ["photo", "photo.jpg"])
@pytest.mark.parametrize("layout", ["hwc", "chw", "auto hwc", "auto chw", "1chw"])
def test_formats_names_and_layouts(tmp_path, ending, named, layout) -> None:
    wanted = F.normalize(features(), dim=-1)
    array = features() if layout.endswith("hwc") else features().permute(2, 0, 1)
    array = array[None] if layout == "1chw" else array
    write(tmp_path / f"{named}{ending}", array)
    given = "chw" if layout == "1chw" else layout.split()[0]
    found = read(tmp_path, "photo.jpg", layout=given)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64, torch.bfloat16])
def test_types_of_numbers(tmp_path, kind) -> None:
    write(tmp_path / "photo.pt", features().to(kind))
    found = read(tmp_path, "photo.png")
    assert torch.allclose(found, F.normalize(features().to(kind).float(), dim=-1), atol=1e-6)


def test_the_official_repositorys_maps_are_channels_first_whatever_else_is_said(tmp_path) -> None:
    whole = torch.rand(DIM, 60, 90).half()  # of the image's own size
    torch.save(whole, tmp_path / f"photo{OFFICIAL_ENDING}")
    wanted = F.normalize(F.avg_pool2d(whole.float(), 10).permute(1, 2, 0), dim=-1)
    for layout in ("auto", "hwc", "chw"):
        found = read(tmp_path, "photo.jpg", layout=layout, grid=9)
        assert found.shape == (6, 9, DIM)
        assert torch.allclose(found, wanted, atol=1e-5)


def test_a_narrow_official_map_is_not_mistaken(tmp_path) -> None:
    torch.save(torch.rand(5, 30, 40).half(), tmp_path / f"photo{OFFICIAL_ENDING}")
    teacher = PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path, grid=8))
    assert teacher.dim == 5
    assert teacher.encode_file(Path("photo.jpg"), no_image).shape == (6, 8, 5)


def test_large_maps_are_reduced_by_the_mean_of_their_area(tmp_path) -> None:
    array = torch.rand(DIM, 12, 8)
    write(tmp_path / "photo.npy", array)
    found = read(tmp_path, "photo.jpg", layout="chw", grid=6)
    assert found.shape == (6, 4, DIM)
    for i in range(6):
        for j in range(4):
            mean = array[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].double().mean(dim=(1, 2))
            assert torch.allclose(found[i, j].double(), mean / mean.norm(), atol=1e-6)
    # A map whose sides do not divide: what is constant stays so, and the ends stay at the ends.
    ramp = torch.linspace(0, 1, 50)[None, None, :].expand(DIM, 31, 50).clone()
    ramp[0] = 1
    write(tmp_path / "photo.npy", ramp)
    found = read(tmp_path, "photo.jpg", layout="chw", grid=20)
    assert found.shape == (12, 20, DIM)
    slope = found[:, :, 1] / found[:, :, 0]  # the normalisation cancels
    centres = (torch.arange(20) + 0.5) / 20
    assert torch.allclose(slope, centres.expand(12, 20), atol=0.02)


@pytest.mark.parametrize("grid", [None, 6, 100])
def test_small_maps_are_kept_as_they_are(tmp_path, grid) -> None:
    write(tmp_path / "photo.npy", features())
    found = read(tmp_path, "photo.jpg", grid=grid)
    assert torch.allclose(found, F.normalize(features(), dim=-1), atol=1e-6)


def test_each_image_has_its_own_map(tmp_path) -> None:
    for index in range(3):
        write(tmp_path / f"photo_{index}.npy", features(index))
    for index in range(3):
        wanted = F.normalize(features(index), dim=-1)
        assert torch.allclose(read(tmp_path, f"photo_{index}.jpg"), wanted, atol=1e-6)


def test_the_key_changes_with_the_map_and_with_nothing_else(tmp_path) -> None:
    path = write(tmp_path / "photo.npy", features())
    teacher = PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))
    image = Path("a") / "photo.jpg"
    first = teacher.file_key(image)
    assert teacher.file_key(Path("b") / "photo.png") == first
    path.touch()
    assert teacher.file_key(image) == first
    write(path, features(1))
    assert teacher.file_key(image) != first


def test_the_fingerprint_tells_how_maps_are_read(tmp_path) -> None:
    write(tmp_path / "photo.npy", torch.rand(16, 4, 16))
    prints = [
        PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path, **options)).fingerprint
        for options in ({"layout": "chw"}, {"layout": "hwc"}, {"layout": "chw", "grid": 8})
    ]
    assert len(set(prints)) == 3


def test_a_missing_map_names_the_image_and_what_it_would_be_called(tmp_path) -> None:
    write(tmp_path / "photo.npy", features())
    teacher = PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))
    for ask in (teacher.file_key, lambda path: teacher.encode_file(path, no_image)):
        with pytest.raises(DffError, match=r"no map of other\.jpg: it would be called other and"):
            ask(Path("other.jpg"))


def test_an_image_alone_has_no_map(tmp_path) -> None:
    write(tmp_path / "photo.npy", features())
    teacher = PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))
    with pytest.raises(DffError, match="knows the images of its folder only"):
        teacher.encode_image(torch.rand(4, 4, 3))


def test_folders_without_maps(tmp_path) -> None:
    for options, message in [
        (PrecomputedOptions(), r"needs a folder of maps: give --teacher\.precomputed\.folder"),
        (PrecomputedOptions(folder=tmp_path / "no"), "no such folder"),
        (PrecomputedOptions(folder=tmp_path), "holds no maps"),
        (PrecomputedOptions(folder=tmp_path, grid=0), "grid .* at least 1, not 0"),
    ]:
        with pytest.raises(DffError, match=message):
            PrecomputedTeacher.open(options)


@pytest.mark.parametrize("shape", [(16, 4, 16), (16, 12, 20), (12, 20, 16), (20, 12, 16)])
def test_a_layout_that_cannot_be_told_must_be_said(tmp_path, shape) -> None:
    write(tmp_path / "photo.npy", torch.rand(*shape))
    with pytest.raises(DffError, match=r"layout chw or hwc"):
        PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))
    for layout, axis in (("chw", 0), ("hwc", 2)):
        given = PrecomputedOptions(folder=tmp_path, layout=layout)
        assert PrecomputedTeacher.open(given).dim == shape[axis]


@pytest.mark.parametrize("shape", [(64, 60, 80), (60, 80, 64)])
def test_the_text_tower_tells_the_layout(tmp_path, shape) -> None:
    write(tmp_path / "photo.npy", torch.rand(*shape))
    given = PrecomputedOptions(folder=tmp_path)
    assert PrecomputedTeacher.open(given, get_teacher("mini")).dim == 64


class Trap:
    """An object in a file is never unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code in a map was run",))


@pytest.mark.parametrize(
    "name", ["photo.npy", "photo.pt", "photo.safetensors", f"photo{OFFICIAL_ENDING}"]
)
def test_damaged_files_are_named_in_one_line(tmp_path, name) -> None:
    path = write(tmp_path / name, features())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:20], b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(DffError, match=f"{name} is damaged") as caught:
            PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["photo.npy", "photo.pt"])
def test_objects_are_refused_and_not_run(tmp_path, name) -> None:
    if name.endswith(".npy"):
        np.save(tmp_path / name, np.array([Trap()], dtype=object), allow_pickle=True)
    else:
        torch.save([Trap()], tmp_path / name)
    with pytest.raises(DffError, match=f"{name} is damaged, or holds no plain tensor"):
        PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.rand(4, 6), r"shape \(4, 6\): a map has three axes"),
        (torch.rand(2, 4, 6, 8), "three axes"),
        (torch.rand(0, 4, 6), "three axes"),
        (torch.zeros(4, 6, 8, dtype=torch.int64), "holds no map"),
        ({"a": torch.rand(4, 6, 8), "b": torch.rand(4, 6, 8)}, "holds 2 tensors"),
        ({}, "holds 0 tensors"),
        ("text", "holds no map"),
    ],
)
def test_files_that_hold_no_map(tmp_path, content, message) -> None:
    torch.save(content, tmp_path / "photo.pt")
    with pytest.raises(DffError, match=message):
        PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))


def test_maps_must_agree_and_be_finite(tmp_path) -> None:
    write(tmp_path / "a.npy", features())
    write(tmp_path / "b.npy", torch.rand(4, 6, 9))
    broken = features()
    broken[1, 2, 3] = float("nan")
    write(tmp_path / "c.npy", broken)
    with pytest.raises(DffError, match=r"b\.npy has features of length 9, the others 16"):
        read(tmp_path, "b.jpg")
    with pytest.raises(DffError, match=r"c\.npy holds values that are not finite"):
        read(tmp_path, "c.jpg")


def test_text_is_that_of_the_teacher_that_made_the_maps(tmp_path) -> None:
    write(tmp_path / "photo.npy", torch.rand(4, 6, 64))
    mini = get_teacher("mini")
    given = TeacherOptions(precomputed=PrecomputedOptions(folder=tmp_path, text="mini"))
    teacher = get_teacher("precomputed", "cpu", given)
    phrase = mini.canonical_phrases[0]
    assert teacher.has_text
    assert torch.equal(teacher.encode_text([phrase]), mini.encode_text([phrase]))
    assert teacher.logit_scale == mini.logit_scale
    assert teacher.canonical_phrases == mini.canonical_phrases
    silent = PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path))
    assert not silent.has_text
    assert silent.fingerprint != teacher.fingerprint
    with pytest.raises(DffError, match=r"name the teacher .*--teacher\.precomputed\.text"):
        silent.encode_text(["apple"])


def test_text_towers_that_do_not_belong_to_the_maps(tmp_path) -> None:
    write(tmp_path / "photo.npy", features())
    for text, message in [
        ("mini", "have 16 features, teacher 'mini' has 64: they are not its maps"),
        ("precomputed", "not 'precomputed'"),
        ("minni", "no teacher 'minni'"),
    ]:
        given = TeacherOptions(precomputed=PrecomputedOptions(folder=tmp_path, text=text))
        with pytest.raises(DffError, match=message):
            get_teacher("precomputed", "cpu", given)


def test_the_grid_of_an_image_is_told_beforehand(tmp_path) -> None:
    write(tmp_path / "photo.npy", features())
    teacher = PrecomputedTeacher.open(PrecomputedOptions(folder=tmp_path, grid=72))
    assert teacher.grid_shape(600, 800) == (54, 72)
    assert teacher.grid_shape(800, 600) == (72, 54)
    assert teacher.grid_shape(30, 40) == (30, 40)
    assert teacher.grid_shape(1, 10_000) == (1, 72)
