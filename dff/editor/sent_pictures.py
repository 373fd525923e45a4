"""Pictures that a browser sends, made as small as what looks at them makes them anyway."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from dff.errors import DffError

# Pixels along the longer side: more than any teacher looks at.
LONGEST = 1024
PLAIN_MODES = ("L", "RGB", "RGBA", "P", "CMYK")


def shrunk(name: str, content: bytes) -> tuple[str, bytes]:
    """A picture of at most `LONGEST` pixels a side, and what it is called.

    One that is small enough stays as it was sent, as does one of a kind that nothing here reads.

    Raises:
        DffError: it is no picture, or a damaged one.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) <= LONGEST or image.mode not in PLAIN_MODES:
                return name, content
            image.thumbnail((LONGEST, LONGEST))
            # Without what a file says beside its pixels, such as how it is to be turned: nothing
            # here minds it.
            plain = image.convert("RGBA" if _is_clear(image) else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DffError(f"cannot read the picture {name[:60]}: {reason}") from error
    buffer = io.BytesIO()
    plain.save(buffer, format="PNG")
    return f"{Path(name).stem}.png", buffer.getvalue()


def _is_clear(image: Image.Image) -> bool:
    return "A" in image.mode or "transparency" in image.info
