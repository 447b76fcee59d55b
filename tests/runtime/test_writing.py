"""Files that are whole or not there."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eseg.errors import OutputError
from eseg.runtime import writing
from eseg.runtime.writing import (
    output_errors,
    remove_unfinished,
    replacing,
    write_json,
    write_text,
)


def write(path, text, previous=None):
    with replacing(path, previous=previous) as temporary:
        temporary.write_text(text)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_the_newest_content_is_there_and_nothing_else(tmp_path):
    for text in ("one", "two"):
        write(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_text() == text
    assert names(tmp_path) == ["a.txt"]


def test_the_file_before_is_kept_under_its_other_name(tmp_path):
    path, previous = tmp_path / "a.txt", tmp_path / "b.txt"
    for text, before in (("one", None), ("two", "one"), ("three", "two")):
        write(path, text, previous)
        assert path.read_text() == text
        assert (previous.read_text() if previous.exists() else None) == before
    path.unlink()
    write(path, "four", previous)  # without a file to keep, the older one stays
    assert (path.read_text(), previous.read_text()) == ("four", "two")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_whatever_happens_within_leaves_the_file_before(tmp_path, error):
    def write_half():
        with replacing(tmp_path / "a.txt", previous=tmp_path / "b.txt") as temporary:
            temporary.write_text("ne")
            raise error

    write(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_it_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    write(tmp_path / "a.txt", "old")
    synced = []

    def sync(descriptor):
        synced.append(
            (Path(f"/proc/self/fd/{descriptor}").resolve(), (tmp_path / "a.txt").read_text())
        )

    monkeypatch.setattr(os, "fsync", sync)
    write(tmp_path / "a.txt", "new")
    (file, before), (folder, after) = synced
    assert (file.parent, before) == (tmp_path, "old")
    assert (folder, after) == (tmp_path, "new")


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path, monkeypatch):
    """Some network file systems refuse it; the file is whole all the same."""

    def sync(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, "invalid")

    monkeypatch.setattr(os, "fsync", sync)
    write(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    kept = ["a.txt", ".a.txt.bak", ".a.txt", ".a.txt.1x", "b.txt", ".b.txt.12"]
    for name in (*kept, ".a.txt.1", ".a.txt.4242"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "a.txt")
    assert names(tmp_path) == sorted(kept)


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    folder = tmp_path / "new" / "folder"
    with (
        writing.sole_writer(folder),
        pytest.raises(OutputError, match=f"{folder}: another process is writing"),
        writing.sole_writer(folder),
    ):
        pass
    with writing.sole_writer(folder), writing.sole_writer(tmp_path):
        pass


HOLDER = """
import sys
from pathlib import Path
from eseg.runtime.writing import sole_writer

with sole_writer(Path(sys.argv[1])):
    print("holds", flush=True)
    input()
"""


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"holds\n"
        with pytest.raises(OutputError, match="another"), writing.sole_writer(tmp_path):
            pass
        holder.kill()
    with writing.sole_writer(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_does_without(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writing.fcntl, "flock", refuse)
    with writing.sole_writer(tmp_path), writing.sole_writer(tmp_path):
        pass


def test_a_machine_without_locks_does_without(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "fcntl", None)
    with writing.sole_writer(tmp_path), writing.sole_writer(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "it is a file"), (tmp_path / "file/x", "Not a dir")):
        with (
            pytest.raises(OutputError, match=rf"{path}: cannot be written \(.*{reason}"),
            writing.sole_writer(path),
        ):
            pass


def test_text_and_json_are_written_whole(tmp_path):
    write_text(tmp_path / "a.txt", "Straße\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "Straße\r\n".encode()
    value = {"a": [1, None], "b": {"c": 0.5}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": {1, 2}})
    assert json.loads((tmp_path / "a.json").read_text()) == value
    assert names(tmp_path) == ["a.json", "a.txt"]


def test_an_error_of_the_disk_names_the_place_and_the_remedies(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", "/elsewhere")
    told = f"^{tmp_path}: cannot be written .No space left on device.; make room, or choose another"
    with pytest.raises(OutputError, match=f"{told} `output`$"), output_errors(tmp_path):
        raise full
    with (
        pytest.raises(OutputError, match=r"; wait, or choose another `report`$"),
        output_errors(tmp_path, argument="report", remedy="wait"),
    ):
        raise full
    with pytest.raises(ValueError, match="not of the disk"), output_errors(tmp_path):
        raise ValueError("not of the disk")
