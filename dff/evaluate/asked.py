"""What an evaluation asks of a scene: made once, then looked at in every frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from dff.answering import Query
from dff.data.images import load_image
from dff.errors import DffError
from dff.evaluate.benchmarks import Benchmark
from dff.evaluate.chosen_views import check_size
from dff.evaluate.prompts import best_threshold, box_of, deepest
from dff.evaluate.segmentation import cosines_of_map
from dff.query.prototypes import foreground_prototypes
from dff.query.routing import likeness_teachers, product_of_scores
from dff.query.scores import QueryEmbedding, scores_from_cosines
from dff.query.shown import Click, ClickQuery, Patch, PatchQuery
from dff.query.text import TextQuery, embed_query
from dff.scene import Scene, View
from dff.selection.selection import Selection
from dff.teachers import Teacher

# Ways of asking for one thing at a time.
RELEVANCY, RENDERED, SELECTED = "relevancy", "rendered", "selected"
CLICK, PATCH, SCRIBBLES = "click", "patch", "scribbles"
TEXT_WAYS = (RELEVANCY, RENDERED, SELECTED)
SHOWN_WAYS = (CLICK, PATCH, SCRIBBLES)


@dataclass(frozen=True, eq=False)
class Likeness:
    """The 2D teacher's own answer to a click or a patch: what looks like it in another photo.

    Attributes:
        queries: by teacher, prototypes of what was shown, and of what is around a patch.
        threshold: score from which on it is the thing: the best one in the picture shown.
    """

    queries: Mapping[str, QueryEmbedding]
    threshold: float

    def scores(
        self, maps: Mapping[str, Float[Tensor, "gh gw D"]], size: tuple[int, int]
    ) -> Float[Tensor, "h w"]:
        """Likeness at every pixel of a photo, by the teachers' feature maps of it."""
        return product_of_scores(
            [
                scores_from_cosines(cosines_of_map(maps[name], query.embeddings, size), query)
                for name, query in self.queries.items()
            ]
        )


@dataclass(frozen=True, eq=False)
class ShownThing:
    """A thing that was clicked or framed.

    Attributes:
        image: where; it is not scored.
        thing: what is wanted, a thing or a class.
        selection: the field's answer; None where it had none.
        likeness: the 2D teacher's; None where the benchmark's own prompt is not one pixel or box.
    """

    image: str
    thing: str
    selection: Selection | None
    likeness: Likeness | None


@dataclass(frozen=True, eq=False)
class Asked:
    """Everything that is asked.

    Attributes:
        labels: the label list, with its embeddings (n, D); empty where there is none.
        embeddings: of the labels.
        text: by class, its query against the canonical phrases.
        rules: of `RELEVANCY` and `RENDERED`, those by which such a query becomes a mask.
        selected: by class, what it selects in 3D; None where it selects nothing.
        shown: by way and thing, what was shown.
        notes: what could not be asked, in sentences.
    """

    labels: tuple[str, ...] = ()
    embeddings: Tensor | None = None
    text: Mapping[str, QueryEmbedding] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    selected: Mapping[str, Selection | None] = field(default_factory=dict)
    shown: Mapping[tuple[str, str], ShownThing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def ask_everything(
    scene: Scene,
    benchmark: Benchmark,
    views: Mapping[str, View],
    ways: Sequence[str],
    told: Callable[[str], None],
    teacher: str | None = None,
) -> Asked:
    """Ask for all that a benchmark names and shows.

    Args:
        scene: trained, with features.
        benchmark: what there is.
        views: of its images.
        ways: of asking, of `TEXT_WAYS` and `SHOWN_WAYS`.
        told: hears what is being asked.
        teacher: which of several answers clicks and patches, as in `ClickQuery`.

    Raises:
        DffError: a word is unknown to the teacher, or the truth cannot be read.
    """
    notes = list(benchmark.notes)
    labels: tuple[str, ...] = ()
    embeddings = None
    text: dict[str, QueryEmbedding] = {}
    selected: dict[str, Selection | None] = {}
    rules = tuple(way for way in (RELEVANCY, RENDERED) if way in ways)
    if benchmark.named and any(record.has_text for record in scene.model.teacher_records):
        if benchmark.label_list:
            labels, embeddings = _label_list(scene.teacher, benchmark, notes.append)
        for name in benchmark.asked:
            query = TextQuery((name,))
            if rules:
                text[name] = embed_query(scene.teacher, query)
            if SELECTED in ways:
                told(f"selecting '{name}' in 3D")
                selected[name] = _answer(scene, query, notes.append)
    shown: dict[tuple[str, str], ShownThing] = {}
    if benchmark.scribbles is not None and SCRIBBLES in ways:
        shown[SCRIBBLES, benchmark.asked[0]] = _scribbled(scene, benchmark, views, notes.append)
    for thing, best in _prompt_images(benchmark, views).items():
        for way in (CLICK, PATCH):
            if way in ways:
                told(f"one {way} on '{thing}' in {best}")
                shown[way, thing] = _show(
                    scene, benchmark, views[best], best, thing, way, teacher, notes.append
                )
    return Asked(labels, embeddings, text, rules, selected, shown, tuple(notes))


def _label_list(
    teacher: Teacher, benchmark: Benchmark, told: Callable[[str], None]
) -> tuple[tuple[str, ...], Float[Tensor, "n D"]]:
    """The classes and their embeddings; mere rivals that the teacher does not know are left out.

    Raises:
        DffError: the teacher does not know one that is asked for.
    """
    try:
        return benchmark.classes, teacher.encode_text(benchmark.classes)
    except DffError:
        known = tuple(n for n in benchmark.classes if n in benchmark.asked or _knows(teacher, n))
    embeddings = teacher.encode_text(known)
    for name in benchmark.classes:
        if name not in known:
            told(f"the teacher does not know '{name}': its pixels do not count in the label list")
    return known, embeddings


def _knows(teacher: Teacher, word: str) -> bool:
    try:
        teacher.encode_text((word,))
    except DffError:
        return False
    return True


def _prompt_images(benchmark: Benchmark, views: Mapping[str, View]) -> dict[str, str]:
    """By thing, the image that shows most of it: there it is clicked."""
    best: dict[str, tuple[int, str]] = {}
    for image in benchmark.prompt_images or benchmark.images:
        if image not in views:
            continue
        frame = benchmark.read(image)
        check_size(frame, views[image], benchmark.same_size)
        for thing in benchmark.clicked:
            pixels = int(frame.thing(thing).sum())
            if pixels > best.get(thing, (0, ""))[0]:
                best[thing] = (pixels, image)
    return {thing: image for thing, (_, image) in best.items()}


def _show(
    scene: Scene,
    benchmark: Benchmark,
    view: View,
    image: str,
    thing: str,
    way: str,
    teacher: str | None,
    noted: Callable[[str], None],
) -> ShownThing:
    """Click or frame a thing in one image; a patch counts for all of its class, as words do."""
    frame = benchmark.read(image)
    single = frame.thing(thing)
    scale = view.size[0] / frame.size[0], view.size[1] / frame.size[1]
    wanted = benchmark.clicked[thing] if way == PATCH else thing
    if way == CLICK:
        x, y = deepest(single)
        click = Click(view.name, x * scale[1], y * scale[0])
        query: Query = ClickQuery((click,), teacher=teacher)
        inside = torch.zeros_like(single)
        inside[int(y), int(x)] = True
    else:
        x0, y0, x1, y1 = box_of(single)
        box = (x0 * scale[1], y0 * scale[0], x1 * scale[1], y1 * scale[0])
        query = PatchQuery((Patch(view.name, box),), teacher=teacher)
        inside = torch.zeros_like(single)
        inside[int(y0) : int(y1), int(x0) : int(x1)] = True
    names = likeness_teachers(scene.model.teacher_records, teacher)
    likeness = _likeness(scene, names, view, inside, frame.thing(wanted))
    return ShownThing(image, wanted, _answer(scene, query, noted), likeness)


def _likeness(
    scene: Scene,
    names: Sequence[str],
    view: View,
    inside: Bool[Tensor, "h w"],
    truth: Bool[Tensor, "h w"],
) -> Likeness:
    """Prototypes of some pixels of a photo by teachers, and the best threshold in it."""
    maps = {name: map_of(scene, name, view) for name in names}
    queries = {}
    for name, features in maps.items():
        # A cell counts where any pixel of it was shown.
        cells = F.adaptive_max_pool2d(inside.float()[None, None], features.shape[:2])[0, 0] > 0
        one_pixel = int(inside.sum()) == 1
        around = features[:0, 0] if one_pixel else features[~cells]
        positives, negatives = foreground_prototypes(features[cells], around)
        queries[name] = QueryEmbedding(positives, negatives, 1.0, "likeness")
    unset = Likeness(queries, 0.0)
    scores = unset.scores(maps, (int(truth.shape[0]), int(truth.shape[1])))
    return Likeness(queries, best_threshold(scores, truth))


def map_of(scene: Scene, teacher: str, view: View) -> Float[Tensor, "gh gw D"]:
    """One of the scene's teachers' own features of a photo."""
    return scene.teacher_named(teacher).encode_file(view.path, load_image).float().cpu()


def _scribbled(
    scene: Scene, benchmark: Benchmark, views: Mapping[str, View], noted: Callable[[str], None]
) -> ShownThing:
    """The benchmark's own clicks."""
    given = benchmark.scribbles
    assert given is not None
    view = views[given.image]
    scale = view.size[0] / given.size[0], view.size[1] / given.size[1]

    def clicks(places: Sequence[tuple[float, float]]) -> tuple[Click, ...]:
        return tuple(Click(view.name, x * scale[1], y * scale[0]) for x, y in places)

    query = ClickQuery(clicks(given.positives), clicks(given.negatives))
    return ShownThing(given.image, benchmark.asked[0], _answer(scene, query, noted), None)


def _answer(scene: Scene, query: Query, noted: Callable[[str], None]) -> Selection | None:
    """A selection; what a click cannot select in this scene counts as nothing found."""
    if isinstance(query, TextQuery):
        return scene.select(query)
    try:
        return scene.select(query)
    except DffError as error:
        noted(f"nothing was selected: {error}")
        return None
