from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.store import Store, key_of
from balin.errors import RunError

KIND = "predictions"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_put_get_and_reload(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "store")
    assert store.get(KIND, "k") is None
    assert (len(store), store.count(KIND)) == (0, 0)
    store.put(KIND, "k", {"text": "تب\nدارد", "n": 1})
    store.put("translations", "k", {"text": "fever"})
    for s in (store, Store(store.folder)):
        assert s.get(KIND, "k") == {"text": "تب\nدارد", "n": 1}
        assert s.get("translations", "k") == {"text": "fever"}
        assert (len(s), s.count(KIND), s.count("translations")) == (2, 1, 1)
    lines = (store.folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {"schema": 1, "kind": "predictions"}
    assert "تب" in lines[1]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = Store(tmp_path / "store")
        store.put(KIND, "k", {})
    finally:
        os.umask(old)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.folder / "predictions.jsonl").stat().st_mode) == 0o600


def test_the_later_line_wins_and_records_are_copies(tmp_path: Path) -> None:
    store = Store(tmp_path)
    given_record = {"v": [1]}
    store.put(KIND, "k", given_record)
    given_record["v"].append(2)
    found = store.get(KIND, "k")
    assert found == {"v": [1]}
    found["v"].append(3)
    assert store.get(KIND, "k") == {"v": [1]}
    store.put(KIND, "k", {"v": 2})
    assert store.get(KIND, "k") == Store(tmp_path).get(KIND, "k") == {"v": 2}
    assert store.count(KIND) == 1


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), st.dictionaries(st.text(), JSON, max_size=3), max_size=5))
def test_any_json_comes_back(records: dict[str, dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for key, record in records.items():
            store.put(KIND, key, record)
        again = Store(Path(folder))
        assert {key: again.get(KIND, key) for key in records} == records
        assert again.count(KIND) == len(records)


def test_a_file_torn_at_any_byte_loses_the_torn_record_only(tmp_path: Path) -> None:
    whole = Store(tmp_path / "whole")
    for number in range(3):
        whole.put(KIND, f"k{number}", {"text": "تب", "n": number})
    data = (whole.folder / f"{KIND}.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        path = folder / f"{KIND}.jsonl"
        path.write_bytes(data[:cut])
        kept = [n for n in range(3) if ends[n + 1] <= cut]
        store = Store(folder)
        assert [n for n in range(3) if store.get(KIND, f"k{n}") == {"text": "تب", "n": n}] == kept
        store.put(KIND, "new", {"n": 9})
        for s in (store, Store(folder)):
            assert s.get(KIND, "new") == {"n": 9}
            assert all(s.get(KIND, f"k{n}") == {"text": "تب", "n": n} for n in kept)
        assert path.read_bytes().startswith(data[:cut])
        assert path.read_bytes().endswith(b"\n")
        path.unlink()


def test_noise_between_lines_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KIND, "a", {"n": 1})
    with (tmp_path / f"{KIND}.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"key": 1, "record": {}}\n{"key": "x"}\n\n{"key": "b", "rec')
    again = Store(tmp_path)
    again.put(KIND, "c", {"n": 3})
    assert (again.count(KIND), again.get(KIND, "a"), again.get(KIND, "b"), again.get(KIND, "c")) == (
        2,
        {"n": 1},
        None,
        {"n": 3},
    )


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b'{"schema":2,"kind":"predictions"}\n', "version 2 is unknown"),
        (b'{"schema":1,"kind":"translations"}\n', "not a store"),
        (b'{"id": "1"}\n', "not a store"),
        (b"hello\n", "not a store"),
        (b"hello", "not a store"),
        (b"[]\n", "not a store"),
    ],
)
def test_foreign_files_are_refused_and_left_alone(tmp_path: Path, content: bytes, pattern: str) -> None:
    (tmp_path / f"{KIND}.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=pattern):
        Store(tmp_path).get(KIND, "k")
    with pytest.raises(RunError, match=pattern):
        Store(tmp_path).put(KIND, "k", {})
    assert (tmp_path / f"{KIND}.jsonl").read_bytes() == content


def test_wrong_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="no kind"):
        store.get("../x", "k")
    with pytest.raises(ValueError, match="JSON"):
        store.put(KIND, "k", {"p": float("nan")})
    with pytest.raises(TypeError):
        store.put(KIND, "k", {"p": object()})
    assert len(store) == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        Store(tmp_path / "file")


def test_a_file_that_shrinks_in_use_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KIND, "k", {})
    path = tmp_path / f"{KIND}.jsonl"
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(RunError, match="shorter"):
        store.get(KIND, "other")
    path.unlink()
    with pytest.raises(RunError, match="has gone"):
        store.get(KIND, "other")


def test_another_stores_lines_are_seen_at_a_miss(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    assert two.get(KIND, "k") is None
    one.put(KIND, "k", {"n": 1})
    assert two.get(KIND, "k") == {"n": 1}
    two.put(KIND, "l", {"n": 2})
    assert one.get(KIND, "l") == {"n": 2}
    assert one.count(KIND) == two.count(KIND) == 2


def test_threads(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def write(name: int) -> None:
        for i in range(25):
            store.put(KIND, f"{name}-{i}", {"t": name, "i": i})

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Store(tmp_path)
    assert store.count(KIND) == again.count(KIND) == 100
    assert again.get(KIND, "3-24") == {"t": 3, "i": 24}


WRITER = """
import sys
from pathlib import Path
from balin.data.store import Store
store = Store(Path(sys.argv[1]))
for number in range(60):
    store.put("predictions", f"{sys.argv[2]}-{number}", {"text": "x" * 5000, "n": number})
"""


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_two_processes_append(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in ("a", "b")]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    store = Store(tmp_path)
    assert store.count(KIND) == 120
    assert all((store.get(KIND, f"{p}-{n}") or {})["n"] == n for p in "ab" for n in range(60))
    lines = (tmp_path / f"{KIND}.jsonl").read_bytes().splitlines()
    assert len(lines) == 121
    assert sum(b'"schema"' in line for line in lines) == 1


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_a_writer_waits_for_the_lock(tmp_path: Path) -> None:
    import fcntl

    Store(tmp_path).put(KIND, "a", {})
    thread = threading.Thread(target=Store(tmp_path).put, args=(KIND, "b", {}))
    with (tmp_path / f"{KIND}.jsonl").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread.start()
        thread.join(timeout=0.2)
        assert thread.is_alive()
        assert Store(tmp_path).count(KIND) == 1
    thread.join(timeout=30)
    assert Store(tmp_path).count(KIND) == 2


def test_key_of() -> None:
    assert key_of(a=1, b=["x"]) == key_of(b=["x"], a=1)
    assert key_of(a=1) != key_of(a="1")
    assert key_of(a="تب") == hashlib.sha256('{"a":"تب"}'.encode()).hexdigest()
    with pytest.raises(TypeError):
        key_of(a=object())


@given(st.dictionaries(st.text("abc", min_size=1), JSON), st.dictionaries(st.text("abc", min_size=1), JSON))
def test_equal_keys_mean_equal_parts(one: dict[str, object], two: dict[str, object]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (key_of(**one) == key_of(**two)) == same
