"""``dff query``: ask a trained scene by word, click or picture; masks and pictures come out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import tyro

from dff.refinement import Refinement

if TYPE_CHECKING:
    from dff.query.shown import ClickQuery, PatchQuery
    from dff.query.text import TextQuery
    from dff.scene import Scene, View
    from dff.selection.selection import Selection

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
    each: bool = False
    """Make a selection of each --text by itself, in a folder named after it; where there are
    negatives or labels, the other texts are negatives too."""
    labels: Path | None = None
    """File of labels, one a line: more negatives for --text, names for --list."""
    click: tuple[str, ...] = ()
    """Pixels of the thing, as FRAME:x,y with the stem of an image and its pixels on disk; or points
    of its surface as x,y,z in world units."""
    click_negative: tuple[str, ...] = ()
    """Pixels that are not of the thing."""
    patch: tuple[str, ...] = ()
    """Pictures of it, as IMAGE:x0,y0,x1,y1, IMAGE:MASK.png or IMAGE: stem of an image of the
    capture, or a file (a rendered view, or any photo)."""
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
    threshold: str | None = None
    """Scores at or above it are selected: a number in [0, 1], otsu, even (0.5), or a share of the
    surface such as top5%; by default chosen from the scores."""
    temperature: float | None = None
    """Divides cosine similarity of a text; by default the teacher's own."""
    teacher: str | None = None
    """Which of several distilled teachers answers (or product); by default the one for the kind."""
    refine: Annotated[Refinement, tyro.conf.arg(name="")] = field(default_factory=Refinement)
    """Refinements, in the order in which they are listed."""
    exact: bool = False
    """Ask the feature field at every sample of what is selected, not on its rim alone (slower)."""
    save: Path | None = None
    """Keep the selection in this .npz file; with --each the words are added to its name."""
    format: tuple[Format, ...] = ()
    """Also write the selection as a coloured point cloud (PLY), a mesh of its surface, a volume
    (NPZ), or the masks as COCO RLE (JSON)."""
    resolution_scale: float = 1.0
    """Render at this share of the images' size; what is written has the full size."""

    def run(self) -> None:
        """Answer, refine, render, write."""
        from dff.query_views import write_query
        from dff.scene import load

        query = self._query()
        words = self._words(query)
        scene = load(self.load_config)
        if self.list_:
            from dff.inventory import write_inventory

            write_inventory(scene, self.output_dir, self.labels, self.teacher)
            return
        views = scene.views(self.split, self.frames or None)
        if words:
            self._write_each(scene, words, views)
            return
        if query is None:
            assert self.selection is not None
            selection = scene.load_selection(self.selection)
        else:
            from dff.answering import answer

            selection = answer(scene, query)
        selection = self._refined(scene, selection)
        self._keep(scene, selection, self.save)
        print(write_query(scene, selection, views, self.output_dir, self.resolution_scale).text)
        self._export(scene, selection, views, self.output_dir)

    def _refined(self, scene: Scene, selection: Selection) -> Selection:
        refined = self.refine.apply(scene, selection)
        return refined.exactly() if self.exact else refined

    def _words(self, query: TextQuery | ClickQuery | PatchQuery | None) -> dict[str, TextQuery]:
        """With --each a query for each text, by the name of its files."""
        from dff.errors import UsageError
        from dff.files import plain_name
        from dff.query.text import TextQuery

        if not self.each:
            return {}
        if not isinstance(query, TextQuery):
            raise UsageError("--each is for --text")
        queries = {}
        for word in query.positives:
            others = tuple(other for other in query.positives if other != word)
            negatives = (*others, *query.negatives) if query.negatives else ()
            name = plain_name(word)
            while name in queries:
                name += "_"
            queries[name] = dataclasses.replace(query, positives=(word,), negatives=negatives)
        return queries

    def _write_each(self, scene: Scene, words: dict[str, TextQuery], views: list[View]) -> None:
        from dff.answering import answer_texts
        from dff.query_views import write_queries

        found = answer_texts(scene, list(words.values()))
        folders = {}
        for name, selection in zip(words, found, strict=True):
            refined = self._refined(scene, selection)
            folders[self.output_dir / name] = refined
            kept = None if self.save is None else self.save.with_stem(f"{self.save.stem}_{name}")
            self._keep(scene, refined, kept)
        for summary in write_queries(scene, folders, views, self.resolution_scale).values():
            print(summary.text)
        for folder, selection in folders.items():
            if selection.count:
                self._export(scene, selection, views, folder)

    def _keep(self, scene: Scene, selection: Selection, path: Path | None) -> None:
        if path is not None:
            selection.save(path, scene.fingerprint)
            print(f"selection of {selection.count} voxels in {path}")

    def _export(self, scene: Scene, selection: Selection, views: list[View], folder: Path) -> None:
        from dff.query_views import write_coco

        if "coco" in self.format:
            print(write_coco(views, folder, selection.made_by[0]))
        solid = [name for name in self.format if name != "coco"]
        if solid:
            from dff.selection.export import SolidFormat, export_selection
            from dff.selection.frame import Frame

            assert scene.model.feature_field is not None
            frame = Frame.of(scene.model.feature_field)
            formats = cast("list[SolidFormat]", solid)
            for path in export_selection(selection, frame, folder, formats):
                print(path)

    def _query(self) -> TextQuery | ClickQuery | PatchQuery | None:
        """The one query that was asked, checked before anything is loaded; None: it is saved."""
        from dff.errors import UsageError
        from dff.query.shown import ClickQuery, Patch, PatchQuery, parse_click
        from dff.query.text import TextQuery
        from dff.query.threshold import parse_threshold

        threshold = parse_threshold(self.threshold)
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
            return TextQuery(self.text, negatives, self.temperature, threshold, self.teacher)
        if given[0] == "--click":
            return ClickQuery(
                tuple(map(parse_click, self.click)),
                tuple(map(parse_click, self.click_negative)),
                not self.alike,
                self.teacher,
                threshold,
            )
        if given[0] == "--patch":
            return PatchQuery(
                tuple(map(Patch.parse, self.patch)),
                tuple(map(Patch.parse, self.patch_negative)),
                self.teacher,
                threshold,
            )
        return None
