"""The log of a run that is broken off and resumed."""

import errno
import json
import os
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import record_writer

from eseg.training.run_folder import RunLog, read_log


def write(folder, steps, resume_at=None):
    with closing(RunLog(folder, resume_at)) as log:
        for step in steps:
            log.write({"step": step, "loss": 1 / step, "note": "text"})
    return log


def test_records_come_back(tmp_path):
    log = write(tmp_path, range(1, 4))
    expected = [{"step": step, "loss": 1 / step, "note": "text"} for step in (1, 2, 3)]
    assert read_log(tmp_path / "log.jsonl") == log.history == expected
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected


def test_a_record_is_in_the_file_at_once(tmp_path):
    with closing(RunLog(tmp_path)) as log:
        log.write({"step": 1, "loss": 2.0})
        assert read_log(tmp_path / "log.jsonl") == [{"step": 1, "loss": 2.0}]


def test_resuming_drops_what_came_after(tmp_path):
    write(tmp_path, range(1, 10))
    log = write(tmp_path, range(6, 8), resume_at=5)
    assert [r["step"] for r in log.history] == [1, 2, 3, 4, 5, 6, 7]
    assert read_log(tmp_path / "log.jsonl") == log.history
    assert [r["step"] for r in write(tmp_path, [1]).history] == [1]  # afresh


@pytest.mark.parametrize("cut", ['{"step": 4, "lo', '{"step"', "{", ""])
def test_a_line_cut_short_is_passed_over(tmp_path, cut):
    write(tmp_path, [1, 2, 3])
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(cut)
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1, 2, 3]
    write(tmp_path, [4], resume_at=3)
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4]


def test_the_old_log_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    write(tmp_path, [1, 2, 3])
    before = (tmp_path / "log.jsonl").read_bytes()

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            RunLog(tmp_path, 2)
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_starting_afresh_forgets_step_0_too(tmp_path):
    first = {"step": 0, "init": {"path": "a.pt"}}
    for _ in range(2):
        with closing(RunLog(tmp_path)) as log:
            log.write(first)
        assert read_log(tmp_path / "log.jsonl") == [first]
    with closing(RunLog(tmp_path, 0)) as log:
        assert log.history == [first]


def test_flushed_it_outlives_a_killed_process(tmp_path):
    """Without `flush`, TensorBoard's events wait in a queue for up to two minutes."""
    log = RunLog(tmp_path)
    for step in range(1, 6):
        log.write({"step": step, "loss": 1 / step})
    log.flush()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5]
    log.close()


def test_a_full_disk_is_an_error_once(tmp_path):
    log = RunLog(tmp_path)
    log.write({"step": 1, "loss": 1.0})
    with Path("/dev/full").open("ab") as full:
        os.dup2(full.fileno(), log._file.fileno())
    with pytest.raises(OSError, match="No space left"):
        log.write({"step": 2, "loss": 1.0})
    log.close()  # has nothing left to write


def test_events_that_the_disk_refuses_are_an_error_of_the_log_alone(tmp_path, monkeypatch, capfd):
    """TensorBoard writes them in a thread of its own, whose traceback nobody should see."""
    hook = threading.excepthook
    log = RunLog(tmp_path)
    log.write({"step": 1, "loss": 1.0})
    log.flush()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(record_writer.RecordWriter, "write", refuse)
        log.write({"step": 2, "loss": 1.0})
        with pytest.raises(OSError, match="No space left"):
            log.flush()
    with pytest.raises(OSError, match="No space left"):
        log.close()
    assert capfd.readouterr() == ("", "")
    assert threading.excepthook is hook


def test_other_threads_still_show_their_errors(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    log = RunLog(tmp_path)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    log.close()
    assert [failure.exc_type for failure in shown] == [ZeroDivisionError]


def test_no_log_is_an_empty_one(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def test_tensorboard_shows_every_step_once(tmp_path):
    write(tmp_path, range(1, 6))
    write(tmp_path, range(4, 8), resume_at=3)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    shown = {event.step: event.value for event in events.Scalars("loss")}
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 8))
    assert shown[7] == pytest.approx(1 / 7)
