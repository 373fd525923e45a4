"""Answer a query in a scene: text, clicks and patches all become a `Selection`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from dff.compiling import choose_threshold
from dff.errors import DffError
from dff.patches import framed_voxels, shown_prototypes
from dff.query.routing import likeness_teachers, product_of_scores
from dff.query.scores import QueryEmbedding
from dff.query.shown import Click, ClickQuery, PatchQuery, Spot
from dff.query.text import TextQuery, embed_query
from dff.query.threshold import select_threshold, soft_mask
from dff.selection.clicked import Clicked, ball_looks, likeness, select_clicked
from dff.selection.exact import ExactQuery, TeacherQuery
from dff.selection.islands import held_alone
from dff.selection.refine import SELECTED
from dff.selection.selection import Selection
from dff.selection.shown import select_shown, with_its_kind
from dff.selection.specks import without_specks
from dff.selection.stable import around_seeds, stable_component

if TYPE_CHECKING:
    from dff.scene import Scene
    from dff.selection.surface_grid import SurfaceGrid

# On the rim of what was clicked the nearer look decides; but nothing less alike than this is taken.
LEAST = 0.3
# A point is on a surface up to so many times the distance to which a voxel reaches.
SPOT_REACH = 3.0

Query = TextQuery | ClickQuery | PatchQuery


def answer(scene: Scene, query: Query, softness: float = 0.0) -> Selection:
    """Make a selection of what a query asks for.

    Args:
        scene: trained with features.
        query: words, clicks or patches.
        softness: half the width of the soft rim in units of score, in [0, 0.5].

    Raises:
        DffError: whatever is wrong with the query in this scene, in one line.
    """
    if isinstance(query, TextQuery):
        return answer_text(scene, query, softness)
    if isinstance(query, ClickQuery):
        return answer_clicks(scene, query, softness)
    return answer_patches(scene, query, softness)


def answer_text(scene: Scene, query: TextQuery, softness: float = 0.0) -> Selection:
    """What words name, without mere specks, and with what nothing else holds."""
    return answer_texts(scene, [query], softness)[0]


def answer_texts(
    scene: Scene, queries: Sequence[TextQuery], softness: float = 0.0
) -> list[Selection]:
    """A selection for each of several texts, in one pass over the voxels for each teacher."""
    teachers = [scene.teacher_of(query) for query in queries]
    embedded = [embed_query(t, query) for t, query in zip(teachers, queries, strict=True)]
    found: dict[int, Selection] = {}
    for name in dict.fromkeys(teacher.name for teacher in teachers):
        asked = [number for number, teacher in enumerate(teachers) if teacher.name == name]
        scores = scene.baked(name).scores_of([embedded[number] for number in asked])
        for number, each in zip(asked, scores, strict=True):
            part = TeacherQuery(name, embedded[number])
            canonical = teachers[number].canonical_phrases
            found[number] = _named(scene, queries[number], part, each, canonical, softness)
    return [found[number] for number in range(len(queries))]


def _named(
    scene: Scene,
    query: TextQuery,
    part: TeacherQuery,
    scores: Float[Tensor, " n"],
    canonical: Sequence[str],
    softness: float,
) -> Selection:
    threshold = choose_threshold(scores, scene.surface.rays, query.threshold)
    against = ", ".join(query.negatives or canonical)
    how = (
        f"'{', '.join(query.positives)}' against {against} by {part.teacher}, "
        f"threshold {threshold:.3f}"
    )
    return _scored(scene.surface, scores, ExactQuery((part,), threshold, softness), how)


def _scored(
    grid: SurfaceGrid, scores: Float[Tensor, " n"], exact: ExactQuery, how: str
) -> Selection:
    """What scores select, without specks, and with what nothing else holds."""
    values = soft_mask(scores, exact.threshold, exact.softness)
    values = values * without_specks(grid, values > 0)
    held = held_alone(grid, values >= SELECTED)
    firm = held if held.any() else None
    return Selection(grid, values + (1 - values) * held, scores, exact, (how,), firm)


def answer_clicks(scene: Scene, query: ClickQuery, softness: float = 0.0) -> Selection:
    """The thing that was clicked: alike and, unless told otherwise, connected."""
    names = likeness_teachers(scene.model.teacher_records, query.teacher)
    grid = scene.surface
    seeds = [voxel_of(scene, click) for click in query.positives]
    others = [voxel_of(scene, click) for click in query.negatives]
    for seed, click in zip(seeds, query.positives, strict=True):
        if seed in others:
            against = query.negatives[others.index(seed)]
            raise DffError(f"the clicks {click} and {against} are on the same spot: take one back")
    spaces = [scene.baked(name).reduced for name in names]
    if query.connected and query.threshold is None:
        found = select_clicked(grid, spaces, seeds, others)
        return selection_of_thing(scene, query, names, found, softness)
    positives, negatives = (ball_looks(grid, spaces, voxels) for voxels in (seeds, others))
    parts = _likeness_parts(scene, names, positives, negatives)
    scores = product_of_scores([scene.baked(part.teacher).scores(part.query) for part in parts])
    if query.threshold is None:
        threshold, chosen = stable_component(grid, scores, seeds, query.connected)
    else:
        threshold = select_threshold(scores, query.threshold, grid.rays)
        chosen = around_seeds(grid, scores >= threshold, seeds, query.connected)
    exact = ExactQuery(parts, threshold, softness)
    how = f"{query} by {exact.teachers}, threshold {threshold:.3f}"
    if not query.connected:
        how += ", everything alike"
    return Selection(grid, chosen.float(), scores, exact, (how,))


def selection_of_thing(
    scene: Scene,
    asked: object,
    names: Sequence[str],
    found: Clicked,
    softness: float,
) -> Selection:
    """A selection of what was found in 3D; its looks are what is asked on the rim.

    Args:
        scene: trained with features.
        asked: what was, for people.
        names: the teachers in whose spaces the looks are.
        found: what is selected, and its looks.
        softness: half the width of the soft rim in units of score, in [0, 0.5].
    """
    parts = _likeness_parts(scene, names, found.positives, found.negatives)
    exact = ExactQuery(parts, LEAST, softness)
    scores = likeness([scene.baked(name).reduced for name in names], found.positives)
    how = f"{asked} by {exact.teachers}"
    return Selection(scene.surface, found.chosen.float(), scores, exact, (how,), found.firm)


def _likeness_parts(
    scene: Scene, names: Sequence[str], positives: Sequence[Tensor], negatives: Sequence[Tensor]
) -> tuple[TeacherQuery, ...]:
    """Queries of several teachers by likeness, from looks in their reduced spaces."""
    return tuple(
        TeacherQuery(
            name,
            QueryEmbedding(
                scene.baked(name).lifted(wanted),
                scene.baked(name).lifted(not_wanted),
                1.0,
                "likeness",
            ),
        )
        for name, wanted, not_wanted in zip(names, positives, negatives, strict=True)
    )


def answer_patches(scene: Scene, query: PatchQuery, softness: float = 0.0) -> Selection:
    """Everything that looks like what was shown."""
    names = likeness_teachers(scene.model.teacher_records, query.teacher)
    seeds = framed_voxels(scene, names, query) if query.threshold is None else []
    if seeds:
        spaces = [scene.baked(name).reduced for name in names]
        return selection_of_thing(
            scene, query, names, with_its_kind(scene.surface, spaces, seeds), softness
        )
    shown = [shown_prototypes(scene, scene.teacher_named(name), query) for name in names]
    if query.threshold is None:
        baked = [scene.baked(name) for name in names]
        found = select_shown(
            scene.surface,
            [each.reduced for each in baked],
            [each.likeness(*looks) for each, looks in zip(baked, shown, strict=True)],
        )
        return selection_of_thing(scene, query, names, found, softness)
    parts = tuple(
        TeacherQuery(name, QueryEmbedding(*looks, 1.0, "likeness"))
        for name, looks in zip(names, shown, strict=True)
    )
    scores = product_of_scores([scene.baked(part.teacher).scores(part.query) for part in parts])
    threshold = select_threshold(scores, query.threshold, scene.surface.rays)
    exact = ExactQuery(parts, threshold, softness)
    how = f"{query} by {exact.teachers}, threshold {threshold:.3f}"
    return _scored(scene.surface, scores, exact, how)


def voxel_of(scene: Scene, click: Click | Spot) -> int:
    """The voxel of the first surface behind a pixel, or of a point on it.

    Raises:
        DffError: no such image, outside of it, or nothing is there.
    """
    if isinstance(click, Spot):
        grid = scene.surface
        distance, voxel = grid.tree.query((click.x, click.y, click.z))
        # So far away that its distance overflows, no voxel is the nearest.
        there = voxel < len(grid)
        if not there or distance > SPOT_REACH * max(float(grid.reach[voxel]), grid.spacing):
            raise DffError(f"the click {click} is on no surface of this scene: click a thing")
        return int(voxel)
    view = scene.views(names=[click.frame])[0]
    height, width = view.size
    if not (0 <= click.x < width and 0 <= click.y < height):
        raise DffError(f"the click {click} is outside of the image: it is {width}x{height} pixels")
    point, accumulation = scene.surface_at(view.camera, click.x, click.y)
    if accumulation < 0.5:
        raise DffError(
            f"the click {click} meets no surface (sky, or never seen well): click a thing"
        )
    return int(scene.surface.tree.query(point.numpy())[1])
