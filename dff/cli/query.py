"""``dff query``: ask a trained scene by word, click or picture; masks and pictures come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast

import tyro

from dff.refinement import Refinement

Format = Literal["points", "mesh-ply", "mesh-obj", "mesh-glb", "volume", "coco"]


@dataclass
class Query:
    """Select something and write what was selected for the capture's own cameras.

    Name it (--text), click it (--click), show a picture of it (--patch), or take a selection that
    was saved (--selection); --list says what there is. With --negative the score of a text is the
    softmax over the text and the negatives; without, the relevancy against the teacher's canonical
    phrases.
    """

    load_config: Path
    """The config.yml that training wrote."""
    output_dir: Path
    """Folder for masks/, heatmaps/ and overlays/."""
    text: tuple[str, ...] = ()
    """What to look for; several are looked for together."""
    negative: tuple[str, ...] = ()
    """What it is to be told apart from."""
    labels: Path | None = None
    """File of labels, one a line: more negatives for --text, names for --list."""
    click: tuple[str, ...] = ()
    """Pixels of the thing, as FRAME:x,y with the stem of an image and its pixels on disk."""
    click_negative: tuple[str, ...] = ()
    """Pixels that are not of the thing."""
    patch: tuple[str, ...] = ()
    """Pictures of it, as IMAGE:x0,y0,x1,y1 or IMAGE: stem of an image of the capture, or a file."""
    patch_negative: tuple[str, ...] = ()
    """Pictures of what it is not."""
    selection: Path | None = None
    """A selection that --save wrote."""
    list_: Annotated[bool, tyro.conf.arg(name="list")] = False
    """Write an inventory instead: a table of the things in the scene, with a picture of each."""
    alike: bool = False
    """Of a click, select everything that looks like it, not only what is connected."""
    split: Literal["train", "eval", "all"] = "eval"
    """Which of the capture's cameras."""
    frames: tuple[str, ...] = ()
    """Stems of image files, instead of a split (e.g. IMG_0001 IMG_0002)."""
    threshold: float | None = None
    """Scores at or above it are selected, in [0, 1]; by default chosen from the scores."""
    temperature: float | None = None
    """Divides cosine similarity of a text; by default the teacher's own."""
    teacher: str | None = None
    """Which of several distilled teachers answers (or product); by default the one for the kind."""
    refine: Annotated[Refinement, tyro.conf.arg(name="")] = field(default_factory=Refinement)
    """Refinements, in the order in which they are listed."""
    save: Path | None = None
    """Keep the selection in this .npz file."""
    format: tuple[Format, ...] = ()
    """Also write the selection as a coloured point cloud (PLY), a mesh of its surface, a volume
    (NPZ), or the masks as COCO RLE (JSON)."""
    resolution_scale: float = 1.0
    """Render at this share of the images' size; what is written has the full size."""

    def run(self) -> None:
        """Answer, refine, render, write."""
        from dff.query_views import write_coco, write_query
        from dff.scene import load

        query = self._query()
        scene = load(self.load_config)
        if self.list_:
            from dff.inventory import write_inventory

            write_inventory(scene, self.output_dir, self.labels, self.teacher)
            return
        views = scene.views(self.split, self.frames or None)
        if query is None:
            assert self.selection is not None
            selection = scene.load_selection(self.selection)
        else:
            from dff.answering import answer

            selection = answer(scene, query)
        selection = self.refine.apply(scene, selection)
        if self.save is not None:
            selection.save(self.save, scene.fingerprint)
            print(f"selection of {selection.count} voxels in {self.save}")
        print(write_query(scene, selection, views, self.output_dir, self.resolution_scale).text)
        if "coco" in self.format:
            print(write_coco(views, self.output_dir, selection.made_by[0]))
        solid = [name for name in self.format if name != "coco"]
        if solid:
            from dff.selection.export import SolidFormat, export_selection
            from dff.selection.frame import Frame

            assert scene.model.feature_field is not None
            frame = Frame.of(scene.model.feature_field)
            formats = cast("list[SolidFormat]", solid)
            for path in export_selection(selection, frame, self.output_dir, formats):
                print(path)

    def _query(self):
        """The one query that was asked, checked before anything is loaded; None: it is saved."""
        from dff.errors import UsageError
        from dff.query.shown import Click, ClickQuery, Patch, PatchQuery
        from dff.query.text import TextQuery

        asked = {
            "--text": bool(self.text or self.negative),
            "--click": bool(self.click or self.click_negative),
            "--patch": bool(self.patch or self.patch_negative),
            "--selection": self.selection is not None,
            "--list": self.list_,
        }
        given = [name for name, is_given in asked.items() if is_given]
        if len(given) != 1:
            found = " and ".join(given) or "nothing"
            raise UsageError(
                f"ask one way at a time ({found} was asked): give one of {', '.join(asked)}, and "
                "combine saved selections with --add, --subtract and --intersect"
            )
        if given[0] == "--text":
            negatives = self.negative
            if self.labels is not None:
                from dff.selection.label_file import read_labels

                wanted = {text.casefold() for text in self.text}
                listed = read_labels(self.labels)
                negatives += tuple(label for label in listed if label.casefold() not in wanted)
            return TextQuery(self.text, negatives, self.temperature, self.threshold, self.teacher)
        if given[0] == "--click":
            return ClickQuery(
                tuple(map(Click.parse, self.click)),
                tuple(map(Click.parse, self.click_negative)),
                not self.alike,
                self.teacher,
                self.threshold,
            )
        if given[0] == "--patch":
            return PatchQuery(
                tuple(map(Patch.parse, self.patch)),
                tuple(map(Patch.parse, self.patch_negative)),
                self.teacher,
                self.threshold,
            )
        return None
