"""The report parses, says nothing but what it was told to, and holds its pictures exactly."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dff.report
from dff.errors import DffError
from dff.report import Report

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Tags with their attributes, text by tag; complains of tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]

    def said(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def written(report: Report, folder: Path) -> Page:
    return Page(report.write(folder / "report.html").read_text(encoding="utf-8"))


def decoded(attributes: dict) -> np.ndarray:
    content = base64.b64decode(attributes["src"].split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(content)))


def test_words_and_tables(tmp_path):
    report = Report("Title", "Intro.").heading("Part").paragraph("Words.")
    report.table(["name", "IoU", "n"], [["apple", 0.98765, 3], ["banana", None, 12]], "Scores")
    page = written(report, tmp_path)
    assert page.said("title") == page.said("h1") == ["Title"]
    assert page.said("h2") == ["Part"]
    assert page.said("p") == ["Intro.", "Words."]
    assert page.said("td") == ["apple", "0.9877", "3", "banana", "–", "12"]
    assert page.said("caption") == ["Scores"]
    assert [a.get("class") for a in page.all("th")] == [None, "number", "number"]
    with pytest.raises(ValueError, match="3 cells"):
        report.table(["a", "b", "c"], [[1]])


def test_pictures_come_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    floats = colour.astype(np.float32) / 255
    mask = rng.random((5, 7)) > 0.5
    Image.fromarray(colour).save(tmp_path / "a.png")
    Image.fromarray(colour).save(tmp_path / "a.bmp")
    report = Report("Pictures").figure(colour, "one")
    report.figures(
        [
            (floats, "two"),
            (mask, ""),
            (Image.fromarray(colour), "four"),
            (tmp_path / "a.png", "five"),
            (colour[..., :1], "six"),
            (str(tmp_path / "a.bmp"), "seven"),
        ]
    )
    images = written(report, tmp_path).all("img")
    for index in (0, 1, 3, 4):
        assert np.array_equal(decoded(images[index]), colour)
    assert np.array_equal(decoded(images[2]), mask * np.uint8(255))
    assert np.array_equal(decoded(images[5]), colour[..., 0])
    assert np.array_equal(decoded(images[6])[..., :3], colour)
    assert [a["alt"] for a in images] == ["one", "two", "", "four", "five", "six", "seven"]


def test_hostile_text_stays_text(tmp_path):
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\ud800"
    report = Report(evil, evil).heading(evil).paragraph(evil)
    report.figure(np.zeros((2, 2)), evil).table([evil], [[evil]], evil)
    page = written(report, tmp_path)
    shown = evil.replace("\ud800", "?")
    assert page.all("script") == []
    assert len(page.all("img")) == 1
    assert page.all("img")[0]["alt"] == shown
    for tag in ("title", "h1", "h2", "p", "td", "th", "caption", "figcaption"):
        assert set(page.said(tag)) == {shown}


def test_nothing_is_loaded_from_outside(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"film")
    report = Report("Alone").figure(np.zeros((2, 2))).video(tmp_path / "clip.mp4", "A clip")
    page = written(report, tmp_path)
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes
    assert "url(" not in (tmp_path / "report.html").read_text()
    source = page.all("video")[0]["src"]
    assert base64.b64decode(source.removeprefix("data:video/mp4;base64,")) == b"film"


def test_large_videos_are_linked_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(dff.report, "MAX_EMBEDDED_VIDEO_BYTES", 3)
    (tmp_path / "a & b.webm").write_bytes(b"film")
    page = written(Report("Linked").video(tmp_path / "a & b.webm"), tmp_path)
    assert page.all("video")[0]["src"] == "a%20%26%20b.webm"


def test_bad_pictures_and_videos_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    report = Report("Bad")
    for bad in ("none.png", "text.png"):
        with pytest.raises(DffError, match=bad):
            report.figure(tmp_path / bad)
    with pytest.raises(DffError, match=r"none\.mp4"):
        report.video(tmp_path / "none.mp4")
    with pytest.raises(DffError, match="no video"):
        report.video(tmp_path / "text.png")
    for array in (np.zeros(3), np.zeros((2, 2, 5)), np.zeros((2, 2), dtype=np.int64)):
        with pytest.raises(ValueError, match="no picture"):
            report.figure(array)
