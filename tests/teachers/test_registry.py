"""The registry of teachers: ours, those of other packages, and what is said of wrong names."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from dff.errors import DffError
from dff.teachers import (
    Teacher,
    TeacherOptions,
    check_checkpoint,
    get_teacher,
    list_teachers,
    teacher_names,
)


def test_teachers_are_listed_by_pattern() -> None:
    assert {"clip", "dino", "lseg", "mini", "precomputed"} <= set(list_teachers())
    assert list_teachers() == sorted(list_teachers())
    assert list_teachers("mi*") == ["mini"]
    assert list_teachers("no such*") == []


def test_an_unknown_teacher_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(
        DffError, match=r"no teacher 'minni' \(did you mean 'mini'\?\); known: .*mini"
    ):
        get_teacher("minni")
    with pytest.raises(DffError, match=r"known: .*mini"):
        get_teacher("")


def test_several_names_are_read_in_their_order() -> None:
    assert teacher_names("clip,dino") == ("clip", "dino")
    assert teacher_names(" dino , clip ") == ("dino", "clip")
    assert teacher_names("mini") == ("mini",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,clip", "named twice in 'clip,clip'"),
        ("clip, clip", "named twice"),
        ("clip,", "no name in 'clip,'; known: .*mini"),
        ("", "no name in ''; known: .*mini"),
        (",", "no name"),
    ],
)
def test_lists_of_names_that_are_none(text, message) -> None:
    with pytest.raises(DffError, match=message):
        teacher_names(text)


@pytest.mark.parametrize("name", ["dinno", "clip dino", "CLIP"])
def test_whether_a_name_exists_is_found_when_it_is_loaded(name) -> None:
    with pytest.raises(DffError, match=f"no teacher '{name}'.*known: .*mini"):
        get_teacher(teacher_names(f"mini,{name}")[1])


def test_a_closed_vocabulary_takes_no_templates() -> None:
    with pytest.raises(DffError, match="'mini' takes no prompt templates"):
        get_teacher("mini", "cpu", TeacherOptions(templates=("a {}",)))


PACKAGE = """
import torch
from dff.teachers import Teacher
from dff.errors import DffError


class Grey(Teacher):
    name, dim, fingerprint, logit_scale = "grey", 1, "g1", 2.0

    def __init__(self, device, options):
        self.device, self.options = device, options

    @property
    def has_text(self):
        return False

    def grid_shape(self, height, width):
        return height, width

    def encode_image(self, image):
        return torch.ones(*image.shape[:2], 1)

    def encode_text(self, phrases):
        raise DffError("grey knows no words")


def load(device, options):
    return Grey(device, options)


def broken(device, options):
    raise RuntimeError("no\\nsuch thing")


def polite(device, options):
    raise DffError("give me a colour")


def nothing(device, options):
    return None


def misnamed(device, options):
    return Grey(device, options)
"""


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """An installed package with teachers: good ones, bad ones, and one with a name of ours."""
    module = "dff_test_teachers"
    (tmp_path / f"{module}.py").write_text(PACKAGE)
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    points = {
        "grey": "load",
        "broken": "broken",
        "polite": "polite",
        "nothing": "nothing",
        "misnamed": "misnamed",
        "absent": "no_such_function",
        "mini": "load",
        "with.dot": "load",
    }
    lines = [f"{name} = {module}:{function}" for name, function in points.items()]
    lines.append("gone = dff_no_such_module:load")
    (info / "entry_points.txt").write_text("[dff.teachers]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def test_another_packages_teacher_is_one_of_ours(package) -> None:
    assert "grey" in list_teachers()
    assert teacher_names("grey,clip") == ("grey", "clip")
    given = TeacherOptions(own=("colour=light=dark", " size = 3"), checkpoint=Path("w.pt"))
    teacher = get_teacher("grey", "cpu", given)
    assert isinstance(teacher, Teacher)
    assert teacher.encode_image(torch.rand(2, 3, 3)).shape == (2, 3, 1)
    assert teacher.device == "cpu"
    assert teacher.options["colour"] == "light=dark"
    assert teacher.options["size"].strip() == "3"
    assert teacher.options["checkpoint"] == "w.pt"
    assert get_teacher("grey").options == {}


def test_one_file_for_several_teachers_is_refused_with_the_options_that_there_are(package) -> None:
    given = TeacherOptions(checkpoint=Path("w.pt"))
    for names, says in {
        "mini,dino": r"w\.pt\? Give --teacher\.dino\.checkpoint$",
        "clip,lseg": r"Give --teacher\.clip\.checkpoint or --teacher\.lseg\.checkpoint$",
        "grey,mini": r"Give --teacher\.own checkpoint=FILE$",
        "mini,precomputed": r"Give one teacher with --teacher\.checkpoint$",
    }.items():
        with pytest.raises(DffError, match=says):
            check_checkpoint(teacher_names(names), given, "--teacher")
    check_checkpoint(("dino",), given, "--teacher")
    check_checkpoint(("mini", "dino"), TeacherOptions(), "--teacher")


def test_without_the_package_it_is_not_known() -> None:
    assert "grey" not in list_teachers()
    with pytest.raises(DffError, match="no teacher 'grey'"):
        get_teacher("grey")


def test_our_names_stay_ours(package) -> None:
    assert type(get_teacher("mini")).__module__ == "dff.teachers.mini"
    assert "with.dot" not in list_teachers()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "teacher 'broken' of dff_test_teachers:broken .*: RuntimeError: no such thing"),
        ("absent", "teacher 'absent' of dff_test_teachers:no_such_function .* AttributeError"),
        ("gone", "teacher 'gone' of dff_no_such_module:load .*: ModuleNotFoundError"),
        ("polite", "^give me a colour$"),
        ("nothing", "nothing does not give a dff.teachers.Teacher whose name is 'nothing'"),
        ("misnamed", "misnamed does not give a dff.teachers.Teacher whose name is 'misnamed'"),
    ],
)
def test_a_broken_package_is_named_in_one_line(package, name, message) -> None:
    with pytest.raises(DffError, match=message) as caught:
        get_teacher(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pair", ["colour", "=3", " = 3", ""])
def test_options_that_are_no_pairs(package, pair) -> None:
    with pytest.raises(DffError, match="an option of a teacher is key=value, not"):
        get_teacher("grey", "cpu", TeacherOptions(own=(pair,)))


def test_the_checkpoint_of_one_teacher_goes_before_the_common_one(tmp_path) -> None:
    from dff.teachers.options import ClipOptions

    both = TeacherOptions(
        checkpoint=tmp_path / "common.pt", clip=ClipOptions(checkpoint=tmp_path / "own.pt")
    )
    with pytest.raises(DffError, match=r"own\.pt: there is no such file"):
        get_teacher("clip", "cpu", both)
    with pytest.raises(DffError, match=r"common\.pt: there is no such file"):
        get_teacher("clip", "cpu", TeacherOptions(checkpoint=tmp_path / "common.pt"))
