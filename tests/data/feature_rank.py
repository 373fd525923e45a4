"""One of several processes that fill a cache together; started by the tests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from torch import distributed

sys.path.insert(0, str(Path(__file__).parent))

from feature_support import WideTeacher, cache

from dff.data.sharding import launched_ranks
from dff.errors import DffError


def main(folder: Path, behaviour: str, pca: int | None) -> None:
    """Fill the cache; what came of it goes to ``rank0.json``, ``rank1.json``."""
    images = sorted((folder / "images").iterdir())
    result: dict = {}
    try:
        with launched_ranks():
            rank = int(os.environ["RANK"])
            result.update(rank=distributed.get_rank(), count=distributed.get_world_size())
            teacher = WideTeacher()
            if rank == 1 and behaviour == "fails":
                teacher.encode_image = fail
            if rank == 1 and behaviour == "dies":
                teacher.killed_after = 2
            if rank == 1 and behaviour == "differs":
                images = images[1:]
            root = folder / ("elsewhere" if rank == 1 and behaviour == "apart" else ".")
            try:
                maps = cache(root, teacher, pca=pca).ensure(images)
                result["sums"] = [
                    float(np.asarray(maps.map(i), np.float64).sum()) for i in range(8)
                ]
            finally:
                result["encoded"] = teacher.encoded
    except DffError as error:
        result["error"] = str(error)
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(result))


def fail(image: object) -> None:
    """A teacher that ran out of memory."""
    raise RuntimeError("out of memory,\nas it were")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) or None)
