"""The editor with the viser that nerfstudio 1.1.5 asks for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from browsing import find_chromium, screenshots  # noqa: E402

VERSION = "0.2.7"


@pytest.fixture(scope="module")
def old_viser(tmp_path_factory) -> Path:
    """A folder with the old version and nothing else."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv here, which installs the other viser")
    folder = tmp_path_factory.mktemp("viser")
    command = [uv, "pip", "install", "--no-config", "--no-deps", "--quiet"]
    command += ["--python", sys.executable, "--target", str(folder), f"viser=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"viser {VERSION} cannot be installed here: {done.stderr.strip()[-200:]}")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: apt-get install chromium")
def test_query_click_apply_and_undo_with_the_old_viser(trained, old_viser, tmp_path):
    output = screenshots(tmp_path, "old-viser")
    done = subprocess.run(
        [sys.executable, str(HERE / "core_path.py"), str(trained), str(output), str(old_viser)],
        env={**os.environ, "PYTHONPATH": str(old_viser)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all of it works" in done.stdout
    assert "Traceback" not in done.stderr
