"""One frame of an evaluation: rendered once, looked at in every way, kept as plain numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.camera_paths import rescaled
from dff.data.images import load_image
from dff.evaluate.asked import (
    RELEVANCY,
    RENDERED,
    SELECTED,
    Asked,
    map_of,
)
from dff.evaluate.benchmarks import Benchmark, Frame
from dff.evaluate.chosen_views import check_size
from dff.evaluate.counts import Counts
from dff.evaluate.masks import Confusion, boundary_iou
from dff.evaluate.pictures import Distance, psnr, ssim
from dff.evaluate.prompts import box_of
from dff.evaluate.relevancy_rules import MEAN_WIDTH, is_localised, rendered_mask
from dff.evaluate.segmentation import cosines_of_hidden, cosines_of_map
from dff.pictures import resize
from dff.query.scores import scores_from_cosines
from dff.query.threshold import EVEN_ODDS
from dff.scene import Scene, View
from dff.seen_view import SeenView
from dff.selection.selection import Selection

FIELD, TEACHER = "field", "teacher"
# Width of a picture for which the mean filter of the published rule was chosen.
_RULE_WIDTH = 1000


@dataclass
class FramePictures:
    """What a report may show of a frame; (h, w, 3) in [0, 1], (h, w) numbers or scores."""

    photo: Tensor | None = None
    render: Tensor | None = None
    truth: Tensor | None = None
    labels: dict[str, Tensor] = field(default_factory=dict)
    heatmaps: dict[str, dict[str, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FrameScorer:
    """Scores frames of one scene.

    Attributes:
        scene: trained.
        asked: of it.
        benchmark: None: views alone.
        scale: share of the photos' size at which is rendered.
        lpips: where its weights are here.
        views: take PSNR, SSIM and LPIPS.
    """

    scene: Scene
    asked: Asked
    benchmark: Benchmark | None
    scale: float = 1.0
    lpips: Distance | None = None
    views: bool = True

    def score(self, view: View, image: str | None) -> tuple[dict[str, Any], FramePictures]:
        """Score a view.

        Args:
            view: one of the scene's.
            image: its name in the benchmark; None where that has no truth of it.

        Returns:
            Numbers for `dff.evaluate.summary`, ready for JSON, and pictures.
        """
        photo = load_image(view.path)
        camera = rescaled(view.camera, self.scale)
        has_features = self.scene.model.feature_field is not None
        found: dict[str, Any] = {"image": view.name, "split": view.split}
        start = time.perf_counter()
        rays = camera.to(self.scene.model.device).generate_rays(camera_indices=0, keep_shape=True)
        outputs = self.scene.render(camera, hidden=has_features)
        found["seconds"] = time.perf_counter() - start
        pictures = FramePictures(photo=photo, render=outputs["rgb"])
        if self.views and view.split == "eval":
            target = reduced_photo(photo, outputs["rgb"].shape[:2])
            found |= self._view_figures(outputs["rgb"], target)
            start = time.perf_counter()
            plain = self.scene.render(camera)["rgb"] if has_features else outputs["rgb"]
            found["seconds_without_features"] = time.perf_counter() - start
            found["psnr_without_features"] = psnr(plain, target)
        if image is None or self.benchmark is None or not has_features:
            return found, pictures
        frame = self.benchmark.read(image)
        check_size(frame, view, self.benchmark.same_size)
        field = self.scene.model.feature_field
        assert field is not None
        seen = _resized(SeenView.of(field, rays, outputs), frame.size)
        numbers, shown = self._segmentation(frame, seen, view)
        return found | numbers, replace(shown, photo=photo, render=pictures.render)

    def _view_figures(self, rgb: Tensor, target: Tensor) -> dict[str, float | None]:
        return {
            "psnr": psnr(rgb, target),
            "ssim": ssim(rgb, target),
            "lpips": None if self.lpips is None else self.lpips(rgb, target),
        }

    def _segmentation(
        self, frame: Frame, seen: SeenView, view: View
    ) -> tuple[dict[str, Any], FramePictures]:
        """Numbers of masks and label maps, and the pictures of them."""
        found: dict[str, Any] = {}
        pictures = FramePictures()
        maps = self._teacher_maps(view)
        asked = self.asked
        if asked.embeddings is not None:
            by_field, by_teacher = self._cosines(seen, maps, asked.embeddings, frame.size)
            guesses = {FIELD: by_field.argmax(-1), TEACHER: by_teacher.argmax(-1)}
            target = _numbers(frame, asked.labels)
            found["labels"] = label_figures(guesses, target, asked.labels)
            pictures.truth, pictures.labels = target, guesses
        ways: dict[str, dict[str, Any]] = {}
        localised: dict[str, dict[str, bool]] = {FIELD: {}, TEACHER: {}}
        width = max(1, round(MEAN_WIDTH * frame.size[1] / _RULE_WIDTH))
        for name, query in asked.text.items():
            cosines = self._cosines(seen, maps, query.embeddings, frame.size)
            truth = frame.mask(name)
            for source, each in zip((FIELD, TEACHER), cosines, strict=True):
                scores = scores_from_cosines(each, query)
                pictures.heatmaps.setdefault(name, {})[source] = scores
                if RELEVANCY in asked.rules:
                    even = Counts.of(scores >= EVEN_ODDS, truth, frame.known)
                    _note(ways, RELEVANCY, name, source, even)
                if RENDERED not in asked.rules:
                    continue
                rule = Counts.of(rendered_mask(scores, width), truth, frame.known)
                _note(ways, RENDERED, name, source, rule)
                if truth.any():
                    boxes = frame.boxes.get(name) or (box_of(truth),)
                    localised[source][name] = is_localised(scores, boxes, width)
        for name, selection in asked.selected.items():
            mask = _mask_of(seen, selection)
            _note(ways, SELECTED, name, FIELD, Counts.of(mask, frame.mask(name), frame.known))
        for (way, thing), shown in asked.shown.items():
            if shown.image == frame.image:
                continue
            truth = frame.thing(shown.thing)
            mask = _mask_of(seen, shown.selection)
            _note(ways, way, thing, FIELD, Counts.of(mask, truth, frame.known))
            if shown.likeness is not None:
                mask = shown.likeness.scores(maps, frame.size) >= shown.likeness.threshold
                _note(ways, way, thing, TEACHER, Counts.of(mask, truth, frame.known))
        return found | {"asked": ways, "localised": localised}, pictures

    def _teacher_maps(self, view: View) -> dict[str, Tensor]:
        """By teacher, its feature map of the photo."""
        needed: dict[str, None] = {}
        if self.asked.embeddings is not None or self.asked.text:
            needed[self.scene.teacher.name] = None
        for shown in self.asked.shown.values():
            if shown.likeness is not None:
                needed |= dict.fromkeys(shown.likeness.queries)
        return {name: map_of(self.scene, name, view) for name in needed}

    def _cosines(
        self, seen: SeenView, maps: Mapping[str, Tensor], embeddings: Tensor, size: tuple[int, int]
    ) -> tuple[Float[Tensor, "h w n"], Float[Tensor, "h w n"]]:
        """Of the field and of the text teacher on the photo."""
        teacher = self.scene.teacher.name
        by_field = cosines_of_hidden(self.scene, seen.hidden, embeddings, teacher)
        return by_field, cosines_of_map(maps[teacher], embeddings, size)


def label_figures(
    guesses: Mapping[str, Int[Tensor, "h w"]], target: Int[Tensor, "h w"], labels: tuple[str, ...]
) -> dict[str, Any]:
    """Confusion counts and boundary IoU of label maps.

    Args:
        guesses: of field and teacher, indices into the labels.
        target: the same, -1 where unknown.
        labels: the list.

    Returns:
        ``field``, ``teacher`` and ``agreement`` (row: teacher, column: field, the teacher being
        taken for the truth) as (n, n) lists; ``boundary`` by source and class that is there.
    """
    count = len(labels)
    found: dict[str, Any] = {
        source: Confusion.empty(count).add(guess, target).counts.tolist()
        for source, guess in guesses.items()
    }
    agreement = Confusion.empty(count).add(guesses[FIELD], guesses[TEACHER])
    found["agreement"] = agreement.counts.tolist()
    known = target >= 0
    found["boundary"] = {
        source: {
            name: boundary_iou((guess == number) & known, target == number)
            for number, name in enumerate(labels)
            if bool((target == number).any())
        }
        for source, guess in guesses.items()
    }
    return found


def reduced_photo(
    photo: Float[Tensor, "h w 3"], size: Sequence[int]
) -> Float[Tensor, "small_h small_w 3"]:
    """A photo as a smaller camera would have taken it: each pixel the mean of those it covers."""
    if tuple(photo.shape[:2]) == tuple(size):
        return photo
    batch = photo.movedim(-1, 0)[None]
    small = F.interpolate(batch, tuple(size), mode="bilinear", antialias=True, align_corners=False)
    return small[0].movedim(0, -1)


def _numbers(frame: Frame, labels: tuple[str, ...]) -> Int[Tensor, "h w"]:
    """Index of each pixel's class, -1 where it is not known."""
    target = torch.full(frame.size, -1, dtype=torch.int64)
    for number, name in enumerate(labels):
        target[frame.mask(name)] = number
    target[~frame.known] = -1
    return target


def _resized(seen: SeenView, size: tuple[int, int]) -> SeenView:
    """A view as if rendered at the size of its labels: features between pixels, nearest points."""
    if tuple(seen.hidden.shape[:2]) == size:
        return seen
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long().clamp(max=old - 1)
        for new, old in zip(size, seen.hidden.shape[:2], strict=True)
    )

    def nearest(values: Tensor) -> Tensor:
        return values[rows][:, columns]

    return SeenView(
        seen.field,
        resize(seen.rgb, *size),
        resize(seen.hidden, *size),
        nearest(seen.points),
        nearest(seen.depth),
        nearest(seen.there),
    )


def _mask_of(seen: SeenView, selection: Selection | None) -> Bool[Tensor, "h w"]:
    return torch.zeros_like(seen.there) if selection is None else seen.mask(selection)


def _note(
    ways: dict[str, dict[str, Any]], way: str, name: str, source: str, counts: Counts
) -> None:
    plain = asdict(counts)
    plain["boundary"] = None if math.isnan(counts.boundary) else counts.boundary
    ways.setdefault(way, {}).setdefault(name, {})[source] = plain
