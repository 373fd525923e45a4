"""One filling of the cache: what is there, what is made, by which process, on which basis."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from dff.data.feature_basis import (
    Fidelity,
    basis_place,
    fit_basis,
    list_bases,
    load_basis,
    project,
    save_basis,
)
from dff.data.feature_encoding import Encoder, Job, map_place, scratch_place
from dff.data.feature_file import (
    DamagedMapError,
    MapEntry,
    map_bytes,
    read_entry,
    readable_size,
    touch,
    write_map,
)
from dff.data.feature_shelf import remove_left_overs
from dff.data.feature_survey import Survey, damage_lines, fidelity_line, work_line
from dff.data.sharding import Ranks, check_shared
from dff.errors import DffError

FITTED_IMAGES = 64
"""A basis is fitted to no more images than this, spread evenly over the capture."""


class Run:
    """Completes the maps of some images, together with the other ranks."""

    def __init__(
        self,
        root: Path,
        who: bytes,
        encoder: Encoder,
        ranks: Ranks,
        console: Console,
        shown: bool,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            root: of the cache.
            who: names the teacher, its weights and options.
            encoder: gives features.
            ranks: who shares the work.
            console: where rank 0 prints.
            shown: whether sizes and bars are; warnings always are.
        """
        self._root, self._who, self._encoder = root, who, encoder
        self._ranks, self._console, self._shown = ranks, console, shown
        self._found: dict[str, MapEntry] = {}
        self._basis: Float[Tensor, "K D"] | None = None
        self._digest: str | None = None

    def complete(
        self, jobs: Sequence[Job], pca: int | None
    ) -> tuple[dict[str, MapEntry], Float[Tensor, "K D"] | None]:
        """Make what is missing.

        Args:
            jobs: the images; the same on all ranks.
            pca: K, or None.

        Returns:
            The map of each key, and the basis if the maps hold coefficients.

        Raises:
            DffError: see `FeatureCache.ensure`.
        """
        ranks = self._ranks
        jobs = list({job.key: job for job in reversed(jobs)}.values())[::-1]
        check_shared(self._root, ranks)
        dim = self._encoder.facts(jobs[0]).dim
        if pca is not None and pca >= dim:
            if self._shown:
                self._say(f"pca {pca} would drop none of {dim} features: they are kept as they are")
            pca = None
        width = pca or dim
        sample: list[Job] = []
        if pca is not None:
            folder = self._bases(pca)
            self._digest = ranks.once(lambda: self._known_basis(jobs, folder))
            sample = [] if self._digest else _spread(jobs, FITTED_IMAGES)
        mine, to_fit = jobs[ranks.rank :: ranks.count], sample[ranks.rank :: ranks.count]
        survey = sum(ranks.share(lambda: self._survey(mine, to_fit, width, dim)), Survey())
        for line in damage_lines(survey):
            self._say(line)
        if survey.missing:
            ranks.once(lambda: self._announce(survey, pca, dim))
        if pca is not None:
            if self._digest is None:
                self._digest = self._fit(sample, to_fit, pca)
            self._basis = self._load_basis(self._bases(pca), self._digest)
        missing = [job for job in mine if job.key not in self._found]
        fidelity = sum(ranks.share(lambda: self._make(missing)), Fidelity())
        if pca is not None and fidelity.cells:
            line = fidelity_line(fidelity, pca, dim)
            if self._shown or line.startswith("warning"):
                self._say(line)
        if pca is not None and survey.missing:
            ranks.once(lambda: [self._scratch(job).unlink(missing_ok=True) for job in jobs])
        ranks.share(lambda: self._see(jobs))
        return self._found, self._basis

    def _place(self, job: Job) -> Path:
        if self._digest is None:
            return map_place(self._root, job.key)
        return coefficient_place(self._root, job.key, self._digest)

    def _scratch(self, job: Job) -> Path:
        return scratch_place(self._root, job.key)

    def _bases(self, components: int) -> Path:
        return bases_folder(self._root, self._who, components)

    def _known_basis(self, jobs: Sequence[Job], folder: Path) -> str | None:
        """The basis that most of these images have coefficients on, if it is at least half.

        So an image that was edited, or some that were added, are projected as the others are.
        """
        most, known = 0, ""
        for digest in list_bases(folder):
            places = (coefficient_place(self._root, job.key, digest) for job in jobs)
            covered = sum(place.exists() for place in places)
            if load_basis(folder, digest) is not None:
                most, known = max((most, known), (covered, digest))
            elif covered:
                self._say(f"warning: the basis of {covered} images is damaged; fitting it anew")
        return known if 2 * most >= len(jobs) else None

    def _survey(self, mine: Sequence[Job], to_fit: Sequence[Job], width: int, dim: int) -> Survey:
        fitted = self._digest is not None or width == dim
        found = Survey()
        for job in mine:
            if fitted:
                try:
                    self._found[job.key] = read_entry(self._place(job))
                    touch(self._place(job))
                    found += Survey(ready=1)
                    continue
                except DamagedMapError as error:
                    if self._place(job).exists():
                        found += Survey(damaged=((job.image.name, str(error)),))
            at_hand = width != dim and self._encoder.at_hand(job)
            size = map_bytes((*self._encoder.grid(job), width))
            found += Survey(encode=not at_hand, project=at_hand, size=size)
        for job in to_fit:
            if not self._encoder.at_hand(job):
                found += Survey(passing=map_bytes((*self._encoder.grid(job), dim)))
        return found

    def _announce(self, survey: Survey, pca: int | None, dim: int) -> None:
        """Say how much work and space it will be; refuse at once what cannot fit."""
        if self._shown:
            self._say(work_line(survey, self._encoder.teacher.name, self._root, pca, dim))
            if self._ranks.count > 1:
                self._say(f"shared by {self._ranks.count} processes: a bar shows the first's part")
        existing = next(p for p in [self._root, *self._root.absolute().parents] if p.exists())
        free, total = shutil.disk_usage(existing).free, survey.size + survey.passing
        if free < total:
            raise DffError(
                f"disk full: the features need {readable_size(total)} and {readable_size(free)} "
                f"are free in {self._root}; free some space or set DFF_CACHE to another folder"
            )
        remove_left_overs(self._root)

    def _fit(self, sample: Sequence[Job], to_fit: Sequence[Job], components: int) -> str:
        """A new basis, from features that are kept on the disk meanwhile, not in memory."""

        def keep() -> None:
            encoder = self._encoder
            missing = [job for job in to_fit if not encoder.at_hand(job)]
            for job in encoder.each("encoding, to fit the basis", missing):
                write_map(self._scratch(job), encoder.encode(job), encoder.facts(job))

        def fit() -> str:
            maps = (self._encoder.features(job) for job in sample)
            return save_basis(self._bases(components), fit_basis(maps, components))

        self._ranks.share(keep)
        return self._ranks.once(fit)

    def _load_basis(self, folder: Path, digest: str) -> Float[Tensor, "K D"]:
        basis = load_basis(folder, digest)
        if basis is None:
            raise DffError(f"the basis {basis_place(folder, digest)} is gone: run again")
        touch(basis_place(folder, digest))
        return basis

    def _make(self, missing: Sequence[Job]) -> Fidelity:
        """Write the maps that are missing; those that need no teacher first."""
        encoder, fidelity = self._encoder, Fidelity()
        at_hand = [job for job in missing if self._basis is not None and encoder.at_hand(job)]
        others = [job for job in missing if job not in set(at_hand)]
        for doing, jobs in (("projecting", at_hand), ("encoding", others)):
            for job in encoder.each(doing, jobs):
                place = self._place(job)
                try:
                    # Another process may have been faster.
                    self._found[job.key] = read_entry(place)
                    continue
                except DamagedMapError:
                    values = (
                        encoder.features(job) if self._basis is not None else encoder.encode(job)
                    )
                if self._basis is not None:
                    values, kept = project(values, self._basis)
                    fidelity += kept
                self._found[job.key] = write_map(place, values, encoder.facts(job, self._digest))
        return fidelity

    def _see(self, jobs: Sequence[Job]) -> None:
        """Find the maps that other ranks looked after; they have just verified them."""
        for job in jobs:
            if job.key not in self._found:
                try:
                    self._found[job.key] = read_entry(self._place(job), whole=False)
                except DamagedMapError as error:
                    raise DffError(
                        f"the features of {job.image.name} are {error}: run the command again"
                    ) from error

    def _say(self, line: str) -> None:
        if self._ranks.first:
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def bases_folder(root: Path, who: bytes, components: int) -> Path:
    """Where the bases of a teacher and K lie."""
    name = hashlib.sha256(who + b" %d" % components).hexdigest()
    return root / "bases" / name


def coefficient_place(root: Path, key: str, digest: str) -> Path:
    """The file of the coefficients of the map with this key on the basis with this hash."""
    return map_place(root, hashlib.sha256(f"{key} {digest}".encode()).hexdigest())


def _spread(jobs: Sequence[Job], most: int) -> list[Job]:
    """At most so many, spread evenly."""
    count = min(most, len(jobs))
    return [jobs[index * len(jobs) // count] for index in range(count)]
