"""A bundle is written whole, and checked whole before it is used."""

from __future__ import annotations

import hashlib
import json
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from balin.deployment.bundle import check_bundle, read_bundle, write_bundle
from balin.errors import InputError, ProgramError


@pytest.fixture
def files(make_bundle, tmp_path):
    """The files of a bundle, by name."""
    bundle = make_bundle("kept")
    return {f.name: f.read_bytes() for f in bundle.path.iterdir()}


def sealed(files, **changes):
    """The files with others in place of some and a manifest that fits them; `manifest` is merged into it."""
    inner = changes.pop("manifest", {})
    made = files | {k.replace("__", "."): v for k, v in changes.items()}
    manifest = json.loads(files["manifest.json"]) | inner
    if "files" not in inner:
        manifest["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in made.items() if n != "manifest.json"}
    return made | {"manifest.json": json.dumps(manifest).encode()}


def with_step(files, **changes):
    steps = json.loads(files["steps.json"])
    steps[-1] |= changes
    return sealed(files, steps__json=json.dumps(steps).encode())


def check(files, tmp_path):
    return check_bundle(tmp_path / "x.balin", files)


@pytest.mark.parametrize("name", ["a.balin", "folder"])
def test_both_forms_hold_the_same_and_only_the_owner_reads_them(make_bundle, files, tmp_path, name):
    write_bundle(tmp_path / "out" / name, files)
    found = read_bundle(tmp_path / "out" / name)
    assert found.hash == hashlib.sha256(files["manifest.json"]).hexdigest()
    assert found.manifest.program.name == "study"
    assert {f.name: stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "out").iterdir()} == {
        name: 0o600 if name == "a.balin" else 0o700
    }
    if name == "folder":
        assert {stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "out" / name).iterdir()} == {0o600}


def test_a_zip_depends_on_its_files_alone(files, tmp_path):
    write_bundle(tmp_path / "1.balin", files)
    write_bundle(tmp_path / "2.balin", dict(reversed(files.items())))
    assert (tmp_path / "1.balin").read_bytes() == (tmp_path / "2.balin").read_bytes()


def test_a_bundle_is_replaced_and_nothing_else(files, tmp_path):
    for path in (tmp_path / "b.balin", tmp_path / "b"):
        write_bundle(path, files)
        write_bundle(path, sealed(files, MODEL_CARD__md=b"another"))
        assert read_bundle(path).hash != hashlib.sha256(files["manifest.json"]).hexdigest()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("kept")
    (tmp_path / "calls.balin").write_text("id,text")
    for name, manifest in (("app", b'{"name": "app"}'), ("more", files["manifest.json"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_bytes(manifest)
        (tmp_path / name / "mine.txt").write_text("kept")
    with zipfile.ZipFile(tmp_path / "photos.balin", "w") as archive:
        archive.writestr("photo.txt", "kept")
    others = ("notes", "calls.balin", "app", "more", "photos.balin")
    for path in (tmp_path / name for name in others):
        with pytest.raises(ProgramError, match="is no bundle, so it is not replaced"):
            write_bundle(path, files)
    assert {(tmp_path / name / "mine.txt").read_text() for name in ("notes", "app", "more")} == {"kept"}
    assert not list(tmp_path.glob(".*"))


def test_the_folder_that_one_is_in_takes_a_bundle(files, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_bundle(Path(), files)
    assert read_bundle(tmp_path / "here").manifest.program.name == "study"


def test_a_folder_that_is_no_bundle_is_not_said_to_hold_too_much(tmp_path):
    (tmp_path / "runs" / "store").mkdir(parents=True)
    with pytest.raises(ProgramError, match=r"is no bundle, as it has no manifest\.json"):
        read_bundle(tmp_path / "runs")


def test_a_failed_write_leaves_the_old_bundle(files, tmp_path):
    write_bundle(tmp_path / "b", files)
    with pytest.raises(InputError):
        write_bundle(tmp_path / "b", {"x" * 400: b""})
    assert read_bundle(tmp_path / "b")
    assert not list(tmp_path.glob(".*"))


def test_every_file_is_checked(files, tmp_path):
    for name in files:
        if name != "manifest.json":
            with pytest.raises(ProgramError, match=r"its SHA-256 differs") as error:
                check(files | {name: files[name] + b" "}, tmp_path)
            assert name in str(error.value)
        with pytest.raises(ProgramError, match=r"missing|no manifest\.json"):
            check({k: v for k, v in files.items() if k != name}, tmp_path)
    with pytest.raises(ProgramError, match=r"'run\.py', which its manifest does not know"):
        check(files | {"run.py": b""}, tmp_path)
    less = {k: v for k, v in files.items() if k != "metrics.json"}
    with pytest.raises(ProgramError, match=r"'metrics\.json' is missing"):
        check(sealed(less), tmp_path)


@pytest.mark.parametrize("version", [0, 3, "1", None, True, 1.0])
def test_an_unknown_version_is_refused_before_all_else(files, tmp_path, version):
    made = json.dumps({"schema": version, "from": "the future"}).encode()
    with pytest.raises(ProgramError, match=r"bundle version .* is unknown; this Balin reads version 1"):
        check({"manifest.json": made}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"nonsense", b"\xff\xfe", b'{"schema": 1}'])
def test_a_manifest_that_is_none_is_refused(files, tmp_path, content):
    with pytest.raises(ProgramError):
        check(files | {"manifest.json": content}, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "yaml"}, "the answer format 'yaml' is unknown"),
        ({"language": "xx"}, "the language 'xx'"),
        ({"probes": ["- Pain:"]}, "1 probes for 13 features"),
        ({"format": "probe"}, "do not go together"),
        ({"thresholds": {"pain": 1.5}}, "thresholds: pain"),
        ({"thresholds": {"gout": 0.5}}, "has no gout"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"code": "import os"}, "code: extra_forbidden"),
        ({"messages": []}, "too_short"),
        ({"messages": [{"role": "user", "parts": ["no slot"]}]}, "value_error"),
        ({"messages": [{"role": "user", "parts": [{"slot": "text"}, {"slot": "text"}]}]}, "value_error"),
        ({"messages": [{"role": "user", "parts": [{"slot": "other"}]}]}, "parts"),
    ],
)
def test_steps_that_cannot_be_run_are_refused(files, tmp_path, change, message):
    with pytest.raises(ProgramError, match=r"steps\.json") as error:
        check(with_step(files, **change), tmp_path)
    assert message in str(error.value)


def test_other_messages_than_those_of_the_test_vector_are_refused(files, tmp_path):
    steps = json.loads(files["steps.json"])
    steps[0]["messages"][0]["parts"] = ["Say that everything is present."]
    with pytest.raises(ProgramError, match="its test vector differs"):
        check(sealed(files, steps__json=json.dumps(steps).encode()), tmp_path)


def test_another_feature_set_or_other_steps_than_the_manifests_are_refused(files, tmp_path):
    feature_set = json.loads(files["manifest.json"])["feature_set"]
    feature_set["features"][0]["label"]["en"] = "Something else"
    with pytest.raises(ProgramError, match="the feature set is not the one that was exported"):
        check(sealed(files, manifest={"feature_set": feature_set}), tmp_path)
    with pytest.raises(ProgramError, match="the steps are"):
        check(sealed(files, steps__json=b"[]"), tmp_path)


def test_an_error_quotes_no_text(files, tmp_path):
    with pytest.raises(ProgramError) as error:
        check(with_step(files, messages=[{"role": "user", "parts": ["Zaubernuss", 3]}]), tmp_path)
    assert "Zaubernuss" not in str(error.value)


class TestZips:
    def write(self, tmp_path, entries, **options):
        path = tmp_path / "evil.balin"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as archive:
            warnings.simplefilter("ignore")
            for name, data in entries:
                archive.writestr(zipfile.ZipInfo(name), data, compress_type=options.get("compression"))
        return path

    @pytest.mark.parametrize("name", ["../up.json", "/etc/passwd", "a/b.json", "..", "C:\\x", "folder/"])
    def test_a_path_is_refused(self, files, tmp_path, name):
        path = self.write(tmp_path, [*files.items(), (name, b"")])
        with pytest.raises(ProgramError, match="which is a path"):
            read_bundle(path)
        assert not (tmp_path.parent / "up.json").exists()

    def test_a_manifest_cannot_name_a_path(self, files, tmp_path):
        hashes = json.loads(files["manifest.json"])["files"] | {"../up.json": "0" * 64}
        with pytest.raises(ProgramError, match=r"manifest\.json: files"):
            check(sealed(files, manifest={"files": hashes}), tmp_path)

    def test_a_name_that_is_there_twice_is_refused(self, files, tmp_path):
        path = self.write(tmp_path, [*files.items(), ("steps.json", b"[]")])
        with pytest.raises(ProgramError, match="twice"):
            read_bundle(path)

    def test_what_unpacks_to_too_much_is_refused(self, files, tmp_path, monkeypatch):
        monkeypatch.setattr("balin.deployment.bundle.LARGEST", 100_000)
        path = self.write(tmp_path, [*files.items(), ("bomb", b"0" * 100_001)], compression=zipfile.ZIP_DEFLATED)
        with pytest.raises(ProgramError, match="larger than any file"):
            read_bundle(path)

    def test_a_damaged_one_is_refused(self, files, tmp_path):
        write_bundle(tmp_path / "b.balin", files)
        data = bytearray((tmp_path / "b.balin").read_bytes())
        for cut in (data[:0], data[:100], data[:-30], data[:60] + bytes(40) + data[100:]):
            (tmp_path / "b.balin").write_bytes(cut)
            with pytest.raises(ProgramError):
                read_bundle(tmp_path / "b.balin")


def test_a_folder_with_a_link_or_a_folder_in_it_is_refused(make_bundle, tmp_path):
    path = make_bundle("linked").path
    card = (path / "MODEL_CARD.md").read_bytes()
    (path / "MODEL_CARD.md").unlink()
    (tmp_path / "card").write_bytes(card)
    (path / "MODEL_CARD.md").symlink_to(tmp_path / "card")
    with pytest.raises(ProgramError, match=r"'MODEL_CARD\.md', which is no file of a bundle"):
        read_bundle(path)
    with pytest.raises(ProgramError, match="there is no such bundle"):
        read_bundle(tmp_path / "nothing")
