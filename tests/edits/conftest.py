"""Documents of every kind, as hypothesis strategies that the tests of this folder share."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from dff.edits import operations as ops
from dff.edits import selections as sel
from dff.edits.document import EditDocument, EditStep
from dff.edits.references import BRINGING
from dff.edits.similarity import rotation_from_degrees

PRINTED = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
# What YAML or JSON could take for something else than text, and what would need quotes.
TRICKY = st.sampled_from(
    ["no", "1e5", "1e-3", "012", "0x1F", "12:30", "~", "null", "=", "<<", "- a", "a: b", "#", "é "]
    + ["2020-01-01", "1_000", ".5", "+.5", "'", '"', "\\", "%", "@", "`", "!x", "&x", "*x", "🍎"]
)
words = (TRICKY | st.text(PRINTED, min_size=1, max_size=12)).filter(
    lambda text: text.strip() and len(text.casefold()) < 200
)
names = st.none() | TRICKY | st.text(PRINTED, max_size=12)
files = TRICKY | st.text(PRINTED, min_size=1, max_size=12)


def points(of: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float, float]]:
    return st.tuples(of, of, of)


share = st.floats(0, 1)
colours = points(share)
lengths = points(st.floats(-1000, 1000))
angles = points(st.floats(-3600, 3600))
scales = st.floats(0.01, 100)


@st.composite
def matrices(draw) -> tuple[tuple[float, ...], ...]:
    linear = draw(st.floats(0.1, 9)) * rotation_from_degrees(draw(angles))
    shift = draw(lengths)
    rows = [(*row.tolist(), offset) for row, offset in zip(linear, shift, strict=True)]
    return (*rows, (0.0, 0.0, 0.0, 1.0))


@st.composite
def curves(draw) -> tuple[tuple[float, float], ...]:
    xs = draw(st.lists(st.integers(0, 1000), min_size=2, max_size=6, unique=True))
    return tuple((x / 1000, draw(share)) for x in sorted(xs))


turned = {"translate": lengths, "rotate": angles, "scale": scales}
pivots = st.sampled_from(["center", "base"]) | lengths
axes = st.sampled_from(["world", "object"])
flags = st.booleans()


def placed(kind, **fields) -> st.SearchStrategy:
    by_parameters = st.builds(kind, **turned, pivot=pivots, axes=axes, **fields)
    return by_parameters | st.builds(kind, matrix=matrices(), **fields)


@st.composite
def curve_changes(draw) -> ops.Curves:
    which = draw(st.sets(st.sampled_from(["all", "red", "green", "blue"]), min_size=1))
    return ops.Curves(**{name: draw(curves()) for name in which}, smooth=draw(flags))


own_selections = st.one_of(
    st.builds(
        sel.TextSelection,
        text=st.lists(words, min_size=1, max_size=3),
        threshold=st.none() | share,
        softness=st.floats(0, 0.5),
        temperature=st.none() | st.floats(1e-3, 100),
        teacher=names,
        exact=flags,
    ),
    st.builds(
        sel.ClickSelection,
        click=st.just(("IMG_1:3.5,4",)) | st.just(("a b:1e2,0.25", "IMG_2:3,4")),
        click_negative=st.just(()) | st.just(("IMG_3:1,2",)),
        alike=flags,
        teacher=names,
        exact=flags,
    ),
    st.builds(
        sel.PatchSelection,
        patch=st.sampled_from([("IMG_1:1,2,30,40",), ("a.png",), ("IMG_1:mask.png", "x.jpg")]),
        softness=st.floats(0, 0.5),
    ),
    st.builds(sel.FileSelection, file=files),
)
operations = st.one_of(
    st.builds(ops.Delete, fill=flags),
    st.just(ops.Extract()),
    st.builds(ops.Opacity, factor=share),
    st.builds(ops.HueShift, degrees=st.floats(-360, 360)),
    st.builds(ops.SaturationScale, factor=st.floats(0, 10)),
    st.builds(ops.ValueScale, factor=st.floats(0, 10)),
    st.builds(ops.Tint, color=colours, strength=share),
    st.builds(ops.SetColor, color=colours, gain=st.floats(0, 10)),
    st.builds(ops.Greyscale, strength=share),
    st.builds(ops.Channels, order=st.sampled_from(["rgb", "rbg", "grb", "gbr", "brg", "bgr"])),
    curve_changes(),
    placed(ops.Transform, fill=flags),
    placed(ops.Duplicate, count=st.integers(1, 100)),
    placed(ops.Insert, scene=files, at=st.none() | lengths),
    st.builds(
        ops.Replace,
        by=own_selections,
        scene=st.none() | files,
        pivot=pivots.filter(lambda pivot: isinstance(pivot, str)),
        fill=flags,
        **turned,
    ),
    st.builds(ops.Background, color=st.none() | colours),
    st.builds(ops.Repaint, file=files),
)


@st.composite
def steps_in_order(draw, most: int = 4) -> tuple[EditStep, ...]:
    """Steps, some of which select what an earlier one brought, by name or by number."""
    made: list[EditStep] = []
    for _ in range(draw(st.integers(0, most))):
        step = draw(
            st.builds(
                EditStep,
                name=names,
                enabled=flags,
                selection=own_selections,
                operation=operations,
            )
        )
        bringing = [i for i, earlier in enumerate(made) if isinstance(earlier.operation, BRINGING)]
        if bringing and not isinstance(step.operation, ops.Insert) and draw(flags):
            index = draw(st.sampled_from(bringing))
            name = made[index].name
            alone = bool(name) and [earlier.name for earlier in made].count(name) == 1
            which = name if alone and draw(flags) else index + 1
            step = step.model_copy(update={"selection": sel.MovedSelection(step=which)})
        made.append(step)
    return tuple(made)


@pytest.fixture(scope="session")
def documents() -> st.SearchStrategy[EditDocument]:
    """Any document of up to four steps."""
    return st.builds(EditDocument, steps=steps_in_order())


@pytest.fixture(scope="session")
def any_step() -> st.SearchStrategy[EditStep]:
    """Any step that refers to no other."""
    return st.builds(
        EditStep, name=names, enabled=flags, selection=own_selections, operation=operations
    )
