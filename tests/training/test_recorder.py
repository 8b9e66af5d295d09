import json
import struct
import subprocess
import sys

import pytest

from infojax.errors import UserError
from infojax.training import recorder as records
from infojax.training.recorder import Recorder, read_records
from tests.training.events import expected_scalars, scalars


@pytest.fixture
def recorder(tmp_path):
    """Function that closes the last recorder of a work directory and resumes a new one."""
    opened = []

    def begin(step=-1):
        for other in opened:
            other.close()
        opened.append(Recorder(tmp_path))
        opened[-1].resume(step)
        return opened[-1]

    yield begin
    opened[-1].close()


def _write(recorder, *steps, sign=1):
    for step in steps:
        recorder.write(step, {"test/mir_64": sign * step / 7, "train/loss": sign * 2.0**-step})


def test_records(recorder, tmp_path):
    _write(recorder(), 0, 1, 5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [["step", "seconds", "test/mir_64", "train/loss"]] * 3
    assert [line["step"] for line in lines] == [0, 1, 5]
    assert [line["test/mir_64"] for line in lines] == [0, 1 / 7, 5 / 7]  # every digit
    assert read_records(tmp_path) == lines


@pytest.mark.parametrize(
    ("step", "metrics", "message"),
    [
        (5, {"a": 1.0}, "step 5 is recorded already"),
        (4, {"a": 1.0}, "step 5 is recorded already"),
        (6, {"a": float("nan")}, "not finite"),
        (6, {"a": True}, "'a' is no number"),
    ],
)
def test_what_could_not_be_read_is_not_written(recorder, tmp_path, step, metrics, message):
    writer = recorder()
    _write(writer, 0, 5)
    with pytest.raises(ValueError, match=message):
        writer.write(step, metrics)
    assert [record["step"] for record in read_records(tmp_path)] == [0, 5]


def test_no_records(tmp_path):
    assert read_records(tmp_path) == []


def test_files_are_complete_after_every_write(recorder, tmp_path):
    writer = recorder()
    for step in range(3):
        _write(writer, step)
        assert [r["step"] for r in read_records(tmp_path)] == list(range(step + 1))
        assert len(scalars(tmp_path)) == 2 * (step + 1)


def test_resume_keeps_earlier_records_and_drops_later_ones(recorder, tmp_path):
    _write(recorder(), 0, 10, 20, 30)
    before = read_records(tmp_path)
    resumed = recorder(20)
    assert read_records(tmp_path) == before[:3]
    _write(resumed, 30, 40, sign=-1)
    records = read_records(tmp_path)
    assert records[:3] == before[:3]
    assert [(r["step"], r["test/mir_64"]) for r in records[3:]] == [(30, -30 / 7), (40, -40 / 7)]


def test_resume_between_records(recorder, tmp_path):
    _write(recorder(), 0, 10, 20)
    recorder(15)
    assert [r["step"] for r in read_records(tmp_path)] == [0, 10]


def test_start_over(recorder, tmp_path):
    _write(recorder(), 0, 10)
    recorder(-1)
    assert read_records(tmp_path) == []


def test_resume_returns_the_last_record_kept(recorder, tmp_path):
    writer = recorder()
    _write(writer, 0, 10, 20)
    records = read_records(tmp_path)
    assert writer.resume(15) == records[1]
    assert writer.resume(-1) == {}


@pytest.mark.parametrize(
    "cut", ['{"step": 20, "seco', "{", '{"step": 20, "a": 0.1', "\x00\x00\x00"]
)
def test_a_truncated_line_is_ignored(recorder, tmp_path, cut):
    _write(recorder(), 0, 10)
    before = read_records(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(cut)
    assert read_records(tmp_path) == before
    _write(recorder(10), 20)
    assert [r["step"] for r in read_records(tmp_path)] == [0, 10, 20]
    assert read_records(tmp_path)[:2] == before


@pytest.mark.parametrize("damage", [b"{", b"5", b"\xff\xfe", b"", b'{"step": 1'])
def test_a_damaged_line_is_named_and_nothing_is_lost(recorder, tmp_path, damage):
    _write(recorder(), 0, 10, 20)
    path = tmp_path / "metrics.jsonl"
    first, _, last = path.read_bytes().splitlines()
    content = b"\n".join([first, damage, last, b""])
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"line 2 of .*metrics.jsonl is damaged"):
        recorder(20)
    assert path.read_bytes() == content


def test_a_missing_record_is_named_and_nothing_is_lost(tmp_path):
    writer = Recorder(tmp_path)
    _write(writer, 0, 10)
    before = read_records(tmp_path)
    with pytest.raises(UserError, match="lacks the record of step 20"):
        writer.resume(20, (0, 10, 20))
    assert read_records(tmp_path) == before
    writer.resume(10, (0, 10))
    assert read_records(tmp_path) == before
    writer.close()


def test_seconds_continue(recorder, tmp_path, monkeypatch):
    """Excludes the time between a run and its resumption, and the time of dropped records."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    writer = recorder()
    for step, clock in ((0, 103.0), (10, 110.0), (20, 150.0)):
        now[0] = clock
        _write(writer, step)
    now[0] = 5000.0
    writer = recorder(10)
    now[0] = 5002.5
    _write(writer, 20)
    assert [r["seconds"] for r in read_records(tmp_path)] == [3.0, 10.0, 12.5]


def test_events_are_the_records(recorder, tmp_path):
    _write(recorder(), 0, 1, 5)
    assert len(scalars(tmp_path)) == 6
    assert scalars(tmp_path) == expected_scalars(tmp_path)


def test_events_after_resumptions_are_the_records(recorder, tmp_path):
    """Even within one second, the resolution of tensorboardX's file names."""
    _write(recorder(), 0, 10, 20)
    _write(recorder(10), 20, 30, sign=-1)
    _write(recorder(20), 30, 40, sign=3)
    assert {step for step, _ in scalars(tmp_path)} == {0, 10, 20, 30, 40}
    assert scalars(tmp_path) == expected_scalars(tmp_path)


def test_without_tensorboardx_there_are_records_alone(recorder, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_HAS_EVENTS", False)
    _write(recorder(), 0, 10)
    assert [r["step"] for r in read_records(tmp_path)] == [0, 10]
    assert not list(tmp_path.glob("events.out.tfevents.*"))


def test_tensorboardx_is_imported_without_torch():
    """Which takes longer to import than all that infojax needs."""
    pytest.importorskip("torch")
    code = (
        "import sys; from infojax.training import recorder; "
        "print('torch' in sys.modules, recorder._HAS_EVENTS)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


def test_checksums_of_events(recorder, tmp_path):
    """TensorBoard stops at a record with a wrong masked CRC-32C."""
    _write(recorder(), 0)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    for data, at in ((content[:8], 8), (content[12 : 12 + length], 12 + length)):
        assert struct.unpack("<I", content[at : at + 4]) == (_masked_crc32c(data),)


def _masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
