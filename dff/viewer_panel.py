"""What of dff nerfstudio's own viewer shows, in ``ns-train`` and ``ns-viewer``: a thin part.

Words, a threshold, a click, an edit document; the results are outputs of the model, which the
viewer lists. The editor proper is ``dff edit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.viewer.viewer_elements import (
    ViewerButton,
    ViewerClick,
    ViewerControl,
    ViewerSlider,
    ViewerText,
)
from torch import Tensor, nn
from viser import ViserServer

from dff.errors import DffError
from dff.pictures import heatmap, overlay
from dff.query.routing import likeness_teachers, text_teacher
from dff.query.scores import QueryEmbedding
from dff.query.text import TextQuery, embed_query, split_phrases
from dff.query.threshold import EVEN_ODDS
from dff.rendered_rays import render_rays
from dff.selection.feature_colours import FeatureColours
from dff.selection.field_selection import FieldSelection
from dff.teachers import Teacher, get_teacher

if TYPE_CHECKING:
    from dff.pipeline import DFFPipeline

# Of the folder in nerfstudio's viewer that holds the elements.
PANEL_TITLE = "Select things, show edits"
# Of cosine similarity, where something was clicked.
ALIKE = 0.8


@dataclass(frozen=True, eq=False)
class ViewerOutputs:
    """Outputs that are made of hidden features, for people to look at.

    Attributes:
        selection: what was asked for; None: nothing was.
        colours: of features.
    """

    selection: FieldSelection | None
    colours: FeatureColours

    def added_to(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of a render with ``hidden_features``, and pictures in their place.

        ``features_pca`` and, where something was asked for, ``heatmap`` and ``overlay``, all
        (rays, 3) in [0, 1].
        """
        rest = {name: value for name, value in outputs.items() if name != "hidden_features"}
        hidden = outputs["hidden_features"]
        rest["features_pca"] = self.colours(hidden)
        if self.selection is not None:
            there = (outputs["accumulation"] >= 0.5).float()
            scores = self.selection.scores(hidden)[..., None] * there
            mask = self.selection.mask(hidden)[..., None] * there
            rest["heatmap"] = heatmap(scores).to(hidden)
            rest["overlay"] = overlay(outputs["rgb"].cpu(), mask.cpu()).to(hidden)
        return rest


class ViewerLine(ViewerText):
    """A line of text that the program alone sets.

    The viewer makes every update of an element take its lock, and an update made by a callback of
    another element, which holds that lock already, would wait for ever.
    """

    def install(self, viser_server: ViserServer) -> None:
        """Make the element; no update of it calls anything."""
        self._create_gui_handle(viser_server)


class ViewerPanel(nn.Module):
    """Elements that nerfstudio's viewer finds in the pipeline, under "Custom Elements".

    A module without parameters: the viewer looks for elements in modules alone.

    The viewer calls them with the lock that training and rendering take; clicks it does not, so
    they take it here.

    Args:
        pipeline: whose model is asked.
    """

    def __init__(self, pipeline: DFFPipeline) -> None:
        super().__init__()
        # In a function, or the pipeline would be a module of its own module.
        self._pipeline: Callable[[], DFFPipeline] = lambda: pipeline
        self._teachers: dict[str, Teacher] = {}
        self._query: tuple[str, QueryEmbedding] | None = None
        self.words = ViewerText("Words", "", hint="what to select; then press Find")
        self.negatives = ViewerText("But not", "", hint="what it is to be told apart from")
        self.find = ViewerButton("Find", cb_hook=lambda _: self._told(self._ask))
        self.click = ViewerButton("Click to select", cb_hook=lambda _: self._told(self._arm))
        self.threshold = ViewerSlider(
            "Threshold", EVEN_ODDS, 0.0, 1.0, 0.01, cb_hook=lambda _: self._told(self._show)
        )
        self.document = ViewerText("Edit document", "", hint="path of a .yml or .json")
        self.load = ViewerButton("Show edited", cb_hook=lambda _: self._told(self._load))
        self.said = ViewerLine("Says", "", disabled=True)
        self.control = ViewerControl()
        asking = (self.words, self.negatives, self.find, self.click, self.threshold, self.said)
        # The viewer lists elements in the alphabetical order of the attributes that hold them.
        for number, element in enumerate((*asking, self.document, self.load)):
            setattr(self, f"a{number}", element)

    def _told(self, action: Callable[[], None]) -> None:
        """Do something; what is wrong is said in the panel and in the terminal, in one line."""
        try:
            action()
        except DffError as error:
            self._say(str(error))
            print(f"error: {error}")

    def _say(self, line: str) -> None:
        if getattr(self.said, "gui_handle", None) is not None:
            self.said.value = line

    def _ask(self) -> None:
        pipeline = self._pipeline()
        records = pipeline.dff_model.teacher_records
        query = TextQuery(split_phrases(self.words.value), split_phrases(self.negatives.value))
        name = text_teacher(records)
        if name not in self._teachers:
            device = str(pipeline.dff_model.device)
            self._teachers[name] = get_teacher(name, device, pipeline.config.teacher)
        self._query = name, embed_query(self._teachers[name], query)
        self._show()
        self._say(f"see outputs heatmap, overlay: {', '.join(query.positives)}")

    def _show(self) -> None:
        """Let the model render what was asked."""
        model = self._pipeline().dff_model
        features = model.asked_features
        selection = None
        if self._query is not None:
            name, query = self._query
            weight = features.head(name).weight
            selection = FieldSelection.make(query, weight, float(self.threshold.value))
        model.viewer_outputs = ViewerOutputs(selection, self._colours())

    @torch.no_grad()
    def _colours(self) -> FeatureColours:
        """From what a few rays of every training camera meet now."""
        pipeline = self._pipeline()
        model = pipeline.dff_model
        if model.viewer_outputs is not None and not model.training:
            return model.viewer_outputs.colours
        cameras = pipeline.datamanager.train_dataset.cameras
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randint(len(cameras), (4096,), generator=generator)
        places = torch.rand(4096, 2, generator=generator)
        size = torch.cat([cameras.height[chosen], cameras.width[chosen]], dim=1).cpu()
        rays = cameras.to("cpu").generate_rays(chosen[:, None], coords=places * size)
        found = render_rays(model, rays, model.edits, hidden=True)
        return FeatureColours.of(found["hidden_features"], found["accumulation"][:, 0])

    def _arm(self) -> None:
        self.control.register_pointer_cb("click", lambda click: self._told(lambda: self._at(click)))
        self._say("click a thing in the picture")

    def _at(self, click: ViewerClick) -> None:
        self.control.unregister_pointer_cb()
        pipeline = self._pipeline()
        with self._locked():
            model = pipeline.dff_model
            features = model.asked_features
            direction = torch.nn.functional.normalize(torch.tensor([click.direction]), dim=-1)
            rays = RayBundle(
                origins=torch.tensor([click.origin]),
                directions=direction.float(),
                pixel_area=torch.ones(1, 1),
                camera_indices=torch.zeros(1, 1, dtype=torch.long),
            )
            found = render_rays(model, rays, model.edits, hidden=True)
            if float(found["accumulation"]) < 0.5:
                raise DffError("no surface is there (sky, or never seen well): click a thing")
            name = likeness_teachers(model.teacher_records)[0]
            looks = features.decode(found["hidden_features"].to(features.aabb), name).detach().cpu()
            self._query = name, QueryEmbedding(looks, looks[:0], 1.0, "likeness")
        # Outside the lock, which the slider's own callback takes.
        self.threshold.value = ALIKE
        with self._locked():
            self._show()
        self._say("see outputs heatmap, overlay: the click")
        self.control.viewer._trigger_rerender()

    def _load(self) -> None:
        pipeline = self._pipeline()
        if pipeline.test_mode == "val":
            raise DffError("edits are shown once training is done: use ns-viewer or dff edit")
        from dff.edited_config import compile_for_viewer

        run = Path(self.control.viewer.log_filename).parent
        given = self.document.value.strip()
        pipeline.dff_model.edits = compile_for_viewer(pipeline, run, Path(given)) if given else None
        self._say(f"edited by {given}" if given else "as it was trained")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.control.viewer.train_lock
        with contextlib.nullcontext() if lock is None else lock:
            yield
