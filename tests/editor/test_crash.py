"""Whatever is killed, what was done is offered again, up to the action that was being done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dff.editor.session import Session

SCRIPT = Path(__file__).parent / "crashing.py"
TIMES = 4


@pytest.mark.slow  # a process of its own, and all that it imports
@pytest.mark.skipif(sys.platform == "win32", reason="no fork and no SIGKILL there")
def test_after_a_kill_all_but_the_last_action_is_offered(scene, trained, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(trained), str(tmp_path), str(TIMES)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    reports = [
        json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"folder"')
    ]
    assert len(reports) == TIMES
    assert any(report["doing"] for report in reports), "none was killed in the middle of an action"
    for report in reports:
        session = Session(scene, Path(report["folder"]))
        offered = session.recoverable()
        document = session.document if offered is None else offered.document
        said = document.model_dump_json(exclude_none=True)
        assert said in (report["done"], report["doing"])
        if offered is not None:
            session.recover(offered)
            assert session.document == offered.document
            session.undo() if offered.undoable is not None else session.redo()
