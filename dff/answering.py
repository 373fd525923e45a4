"""Answer a query in a scene: text, clicks and patches all become a `Selection`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from dff.compiling import choose_threshold
from dff.data.images import load_image
from dff.errors import DffError
from dff.query.prototypes import foreground_prototypes, prototypes_of
from dff.query.routing import likeness_teachers, product_of_scores
from dff.query.scores import QueryEmbedding
from dff.query.shown import Click, ClickQuery, Patch, PatchQuery
from dff.query.text import TextQuery, embed_query
from dff.query.threshold import select_threshold, soft_mask
from dff.selection.clicked import Clicked, ball_looks, likeness, select_clicked
from dff.selection.exact import ExactQuery, TeacherQuery
from dff.selection.selection import Selection
from dff.selection.shown import select_shown
from dff.selection.specks import without_specks
from dff.selection.stable import around_seeds, stable_component
from dff.teachers import Teacher

if TYPE_CHECKING:
    from dff.scene import Scene

# On the rim of what was clicked the nearer look decides; but nothing less alike than this is taken.
LEAST = 0.3
# Around a rectangle its surroundings are looked at as far as this share of its sides.
MARGIN = 0.5

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
    """What words name; components that are mere specks are left out."""
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
    values = soft_mask(scores, threshold, softness)
    kept = without_specks(scene.surface, values > 0)
    against = ", ".join(query.negatives or canonical)
    how = (
        f"'{', '.join(query.positives)}' against {against} by {part.teacher}, "
        f"threshold {threshold:.3f}"
    )
    exact = ExactQuery((part,), threshold, softness)
    return Selection(scene.surface, values * kept.to(values), scores, exact, (how,))


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
        return _thing(scene, query, names, found, softness)
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


def _thing(
    scene: Scene,
    query: ClickQuery | PatchQuery,
    names: Sequence[str],
    found: Clicked,
    softness: float,
) -> Selection:
    """A selection of what was found in 3D; its looks are what is asked on the rim."""
    parts = _likeness_parts(scene, names, found.positives, found.negatives)
    exact = ExactQuery(parts, LEAST, softness)
    scores = likeness([scene.baked(name).reduced for name in names], found.positives)
    how = f"{query} by {exact.teachers}"
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
    shown = [shown_prototypes(scene, scene.teacher_named(name), query) for name in names]
    if query.threshold is None:
        baked = [scene.baked(name) for name in names]
        found = select_shown(
            scene.surface,
            [each.reduced for each in baked],
            [each.likeness(*looks) for each, looks in zip(baked, shown, strict=True)],
        )
        return _thing(scene, query, names, found, softness)
    parts = tuple(
        TeacherQuery(name, QueryEmbedding(*looks, 1.0, "likeness"))
        for name, looks in zip(names, shown, strict=True)
    )
    scores = product_of_scores([scene.baked(part.teacher).scores(part.query) for part in parts])
    threshold = select_threshold(scores, query.threshold, scene.surface.rays)
    exact = ExactQuery(parts, threshold, softness)
    values = soft_mask(scores, threshold, softness)
    kept = without_specks(scene.surface, values > 0)
    how = f"{query} by {exact.teachers}, threshold {threshold:.3f}"
    return Selection(scene.surface, values * kept.to(values), scores, exact, (how,))


def shown_prototypes(
    scene: Scene, teacher: Teacher, query: PatchQuery
) -> tuple[Float[Tensor, "p D"], Float[Tensor, "q D"]]:
    """Looks that are wanted, and those that are not, of all pictures of a query.

    Raises:
        DffError: as `patch_prototypes`.
    """
    pairs = [patch_prototypes(scene, teacher, patch) for patch in query.positives]
    unwanted = [patch_prototypes(scene, teacher, patch)[0] for patch in query.negatives]
    positives = torch.cat([positive for positive, _ in pairs])
    return positives, torch.cat([*(negative for _, negative in pairs), *unwanted])


def voxel_of(scene: Scene, click: Click) -> int:
    """The voxel of the first surface behind a pixel.

    Raises:
        DffError: no such image, outside of it, or nothing is there.
    """
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


def patch_prototypes(
    scene: Scene, teacher: Teacher, patch: Patch
) -> tuple[Float[Tensor, "p D"], Float[Tensor, "q D"]]:
    """Prototypes of a patch and of what surrounds it in its picture.

    Raises:
        DffError: no such image or file, or the rectangle lies outside of it.
    """
    views = [view for view in scene.views() if view.name == patch.image]
    path = views[0].path if views else Path(patch.image)
    if not views and not path.is_file():
        raise DffError(
            f"'{patch.image}' is neither an image of the capture nor a file: give the stem of an "
            "image, or a path"
        )
    image = load_image(path)
    features = teacher.encode_file(path, load_image)
    height, width = image.shape[:2]
    if patch.mask is not None:
        inside, outside = _cells_of_mask(features.shape[:2], read_mask(patch.mask, image))
        return foreground_prototypes(features[inside], features[outside])
    if patch.box is None:
        return prototypes_of(features.flatten(0, 1)), features.new_zeros(0, features.shape[-1])
    x0, y0, x1, y1 = patch.box
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise DffError(f"the patch {patch} reaches beyond the image: it is {width}x{height} pixels")
    inside, outside = _cells_of(features.shape[:2], (height, width), patch.box)
    return foreground_prototypes(features[inside], features[outside])


def read_mask(path: str, image: Float[Tensor, "h w 3"]) -> Bool[Tensor, "h w"]:
    """A mask of an image, from a file.

    Raises:
        DffError: there is no such file, it is of another size, or it selects nothing.
    """
    if not Path(path).is_file():
        raise DffError(f"no such mask: {path}")
    mask = load_image(Path(path)).amax(dim=-1) > 0
    height, width = image.shape[:2]
    if mask.shape != (height, width):
        raise DffError(
            f"the mask {path} is {mask.shape[1]}x{mask.shape[0]} pixels and its image "
            f"{width}x{height}: they have to be the same"
        )
    if not mask.any():
        raise DffError(f"the mask {path} is all black: paint the thing white")
    return mask


def _cells_of_mask(
    grid: Sequence[int], mask: Bool[Tensor, "h w"]
) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Cells of a feature map that lie mostly in a mask, and those around that it does not touch."""
    share = F.adaptive_avg_pool2d(mask.float()[None, None], (grid[0], grid[1]))[0, 0]
    # A mask smaller than a cell is the cell it fills most.
    inside = share >= min(0.5, float(share.max()))
    wide = max(1, round(MARGIN * float(inside.sum()) ** 0.5))
    near = F.max_pool2d(inside.float()[None, None], 2 * wide + 1, 1, wide)[0, 0] > 0
    return inside, near & (share == 0)


def _cells_of(
    grid: Sequence[int], size: tuple[int, int], box: tuple[float, float, float, float]
) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Cells of a feature map whose centres lie in a rectangle, and those in a band around it."""
    x0, y0, x1, y1 = box
    y = (torch.arange(grid[0]) + 0.5) * size[0] / grid[0]
    x = (torch.arange(grid[1]) + 0.5) * size[1] / grid[1]
    # A patch smaller than a cell is the cell it lies in.
    rows = (y >= y0) & (y < y1)
    columns = (x >= x0) & (x < x1)
    if not rows.any():
        rows[int((y0 + y1) / 2 * grid[0] / size[0])] = True
    if not columns.any():
        columns[int((x0 + x1) / 2 * grid[1] / size[1])] = True
    inside = rows[:, None] & columns[None, :]
    high, wide = MARGIN * (y1 - y0), MARGIN * (x1 - x0)
    near = ((y >= y0 - high) & (y < y1 + high))[:, None] & ((x >= x0 - wide) & (x < x1 + wide))[
        None, :
    ]
    # Cells that straddle the outline belong to neither.
    rim = F.max_pool2d(inside.float()[None, None], 3, 1, 1)[0, 0] > 0
    return inside, near & ~rim
