"""A report as one HTML file: headings, words, tables and pictures, all inside it.

Nothing is loaded from outside and no script runs, so the file can be mailed and opens anywhere.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from dff.errors import DffError
from dff.files import atomic_write

Picture = np.ndarray | Image.Image | Path | str

# Larger videos are linked beside the report instead of being put into it.
MAX_EMBEDDED_VIDEO_BYTES = 16_000_000
_VIDEO_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
_IMAGE_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2026; --soft: #5f6672; --paper: #fbfbf9;
  --card: #ffffff; --line: #dfe1e4; --mark: #2f6f4f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e4; --soft: #a0a6b0; --paper: #16181c;
  --card: #1f2228; --line: #343941; --mark: #7fc8a0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.35rem; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 2px solid
  var(--mark); }
p { max-width: 46rem; margin: .6rem 0; }
.intro { color: var(--soft); font-size: 1.08rem; }
figure { margin: 1.25rem 0; }
img, video { display: block; max-width: 100%; height: auto; border-radius: 6px;
  border: 1px solid var(--line); background: var(--card); }
figcaption, caption { color: var(--soft); font-size: .9rem; margin-top: .4rem; text-align: left; }
caption { caption-side: bottom; padding-top: .4rem; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
.grid figure { margin: 0; }
.grid img { width: 100%; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1.25rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .9rem; border-bottom: 1px solid var(--line); text-align: left; }
th { font-weight: 600; border-bottom: 2px solid var(--ink); }
td.number, th.number { text-align: right; }
"""


class Report:
    """Collects the parts of a report, then writes them.

    Example:
        >>> report = Report("Demo", "Two things asked for by name.")
        >>> report.heading("Before").figure(image, "View 3").write(Path("report.html"))
    """

    def __init__(self, title: str, intro: str = "") -> None:
        """Begin a report with a title and a sentence or two."""
        self._title = title
        self._parts: list[str] = [f"<h1>{html.escape(title)}</h1>"]
        self._linked_videos: list[Path] = []
        if intro:
            self._parts.append(f'<p class="intro">{html.escape(intro)}</p>')

    def heading(self, text: str) -> Report:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")
        return self

    def paragraph(self, text: str) -> Report:
        """Add a paragraph of plain words."""
        self._parts.append(f"<p>{html.escape(text)}</p>")
        return self

    def figure(self, image: Picture, caption: str = "") -> Report:
        """Add a picture.

        Args:
            image: an image file, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or
                (H, W, 4) of uint8, of booleans, or of floats in [0, 1].
            caption: also what is read out where the picture cannot be seen.

        Raises:
            DffError: when the file cannot be read.
            ValueError: for an array of another kind.
        """
        self._parts.append(_figure(image, caption))
        return self

    def figures(self, pictures: Sequence[tuple[Picture, str]]) -> Report:
        """Add several (image, caption) side by side, as many in a row as there is room for."""
        inner = "\n".join(_figure(image, caption) for image, caption in pictures)
        self._parts.append(f'<div class="grid">\n{inner}\n</div>')
        return self

    def table(
        self, headers: Sequence[object], rows: Sequence[Sequence[object]], caption: str = ""
    ) -> Report:
        """Add a table; columns that hold only numbers are set to the right.

        Floats are shown with up to four significant digits, None as a dash.

        Raises:
            ValueError: when a row has not one cell per header.
        """
        if any(len(row) != len(headers) for row in rows):
            raise ValueError(f"every row needs {len(headers)} cells")
        numeric = [_is_numeric([row[k] for row in rows]) for k in range(len(headers))]
        lines = ['<div class="wide"><table>']
        if caption:
            lines.append(f"<caption>{html.escape(caption)}</caption>")
        lines.append(f"<thead>{_row('th', headers, numeric)}</thead>\n<tbody>")
        lines += [_row("td", row, numeric) for row in rows]
        lines.append("</tbody></table></div>")
        self._parts.append("\n".join(lines))
        return self

    def video(self, path: Path | str, caption: str = "") -> Report:
        """Add a video (.mp4 or .webm): inside the report up to 16 MB, else linked beside it.

        Raises:
            DffError: when the file cannot be read or is of another kind.
        """
        path = Path(path)
        kind = _VIDEO_TYPES.get(path.suffix.lower())
        if kind is None:
            raise DffError(f"{path.name} is no video for a report: give .mp4 or .webm")
        try:
            if path.stat().st_size <= MAX_EMBEDDED_VIDEO_BYTES:
                source = _data_uri(kind, path.read_bytes())
            else:
                source = _link_mark(len(self._linked_videos))
                self._linked_videos.append(path)
        except OSError as error:
            raise DffError(f"cannot read {path}: {error.strerror or error}") from error
        self._parts.append(
            f'<figure><video controls loop muted playsinline src="{source}"></video>'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
        return self

    def write(self, path: Path | str) -> Path:
        """Write the report, whole or not at all, and return its path.

        Raises:
            DffError: when it cannot be written.
        """
        path = Path(path)
        body = "\n".join(self._parts)
        for number, video in enumerate(self._linked_videos):
            body = body.replace(_link_mark(number), _relative(video, path.parent))
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
        )
        with atomic_write(path) as stream:
            # Lone surrogates, as in some file names, cannot be written as UTF-8.
            stream.write(page.encode("utf-8", "replace"))
        return path


def _figure(image: Picture, caption: str) -> str:
    text = html.escape(caption)
    words = f"<figcaption>{text}</figcaption>" if caption else ""
    return f'<figure><img src="{_image_uri(image)}" alt="{text}">{words}</figure>'


def _image_uri(image: Picture) -> str:
    """A picture as a data URI; files are embedded as they are, anything else as PNG."""
    if isinstance(image, (str, Path)):
        return _file_uri(Path(image))
    picture = image if isinstance(image, Image.Image) else Image.fromarray(_as_bytes(image))
    return _png_uri(picture)


def _file_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            kind = _IMAGE_TYPES.get(opened.format or "")
            return _data_uri(kind, content) if kind else _png_uri(opened.convert("RGBA"))
    except (OSError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise DffError(f"cannot read picture {path}: {reason}") from error


def _png_uri(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return _data_uri("image/png", stream.getvalue())


def _as_bytes(array: np.ndarray) -> np.ndarray:
    values = np.asarray(array)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise ValueError(f"no picture: an array of shape {values.shape}")
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == bool or np.issubdtype(values.dtype, np.floating):
        finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
        return np.round(np.clip(finite, 0.0, 1.0) * 255).astype(np.uint8)
    raise ValueError(f"no picture: an array of {values.dtype}")


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _link_mark(number: int) -> str:
    """Stands for a linked video until it is known where the report goes; no text can hold it."""
    return f"<video {number}>"


def _relative(target: Path, folder: Path) -> str:
    """The address of a file as seen from a page in ``folder``."""
    target, folder = target.resolve(), folder.resolve()
    inside = target.is_relative_to(folder)
    return quote(target.relative_to(folder).as_posix()) if inside else target.as_uri()


def _row(tag: str, cells: Sequence[object], numeric: Sequence[bool]) -> str:
    parts = []
    for cell, number in zip(cells, numeric, strict=True):
        kind = ' class="number"' if number else ""
        parts.append(f"<{tag}{kind}>{html.escape(_cell(cell))}</{tag}>")
    return f"<tr>{''.join(parts)}</tr>"


def _is_numeric(column: Sequence[object]) -> bool:
    values = [cell for cell in column if cell is not None]
    return bool(values) and all(
        isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in values
    )


def _cell(cell: object) -> str:
    if cell is None:
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
