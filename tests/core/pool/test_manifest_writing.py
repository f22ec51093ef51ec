"""A manifest holds text; what is none is refused in a sentence, and nothing is written."""

from pathlib import Path

import pytest

from cae_core.errors import PoolError
from cae_core.pool.manifest_writing import append_rows, write_manifest


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "pool.toml"
    row = {"path": "bad\udcff.onnx", "role": "test", "relation": "reference"}
    with pytest.raises(PoolError, match=r"'\\udcff'\)\. Rename the file"):
        append_rows(manifest, [row])
    with pytest.raises(PoolError, match=r"'\\udcff'\)\. Rename the file"):
        write_manifest(manifest, [row])
    assert not manifest.exists()
