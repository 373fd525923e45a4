"""What several tests of fields need."""

from __future__ import annotations

import pytest

from dff.fields.compiled_kernel import load_kernels


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As a machine on which nothing was built yet."""
    monkeypatch.setenv("DFF_KERNELS", str(tmp_path / "kernels"))
    load_kernels.cache_clear()
    yield tmp_path / "kernels"
    load_kernels.cache_clear()
