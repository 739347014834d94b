from __future__ import annotations

from pathlib import Path

import pytest

from balin.data.files import append_line, replacing, write_private
from balin.errors import InputError


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_private(path, b"old")

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_unwritable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_private(tmp_path / "none" / "f", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_private(tmp_path / "folder", b"")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, b"1", b"head")
    append_line(path, b"2", b"head")
    assert path.read_bytes() == b"head\n1\n2\n"
    path.write_bytes(b"head\n1\n2\n3")
    append_line(path, b"4", b"head")
    assert path.read_bytes() == b"head\n1\n2\n3\n4\n"
    path.write_bytes(b"he")
    append_line(path, b"1", b"head")
    assert path.read_bytes() == b"he\nhead\n1\n"
