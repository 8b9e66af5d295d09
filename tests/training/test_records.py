"""Files of records: read, checked line by line, and scanned for their steps."""

import json
import random

import pytest

from infojax.errors import UserError
from infojax.training import records

FIRST = '{"step": 0, "seconds": 0.5, "test/loss": 1.5e-07}'
LAST = '{"step": 9, "seconds": 2, "test/loss": -3}'
USUAL = {"step": 5, "seconds": 1.25, "test/loss": 2.0}
DAMAGED = {
    '{"a": 1}': "it has no step of at least 0",
    '{"step": null, "seconds": 1}': "'step' is no number",
    '{"step": "5", "seconds": 1}': "'step' is no number",
    '{"step": -5, "seconds": 1}': "it has no step of at least 0",
    '{"step": 5.0, "seconds": 1}': "it has no step of at least 0",
    '{"step": true, "seconds": 1}': "'step' is no number",
    '{"step": 5, "test/loss": "high"}': "'test/loss' is no number",
    '{"step": 5, "test/loss": null}': "'test/loss' is no number",
    '{"step": 5, "test/loss": [1]}': "'test/loss' is no number",
    '{"step": 5, "test/loss": NaN}': "it is no JSON of finite numbers",
    '{"step": 5, "test/loss": -Infinity}': "it is no JSON of finite numbers",
    '{"step": 5, "test/loss": 1e999}': "a number is not finite",
    f'{{"step": 5, "test/loss": {10**400}}}': "a number is not finite",
    '{"step": 5, "test/loss": 1.2.3}': "it is no JSON of finite numbers",
    '{"step": 5, "test/loss": 01}': "it is no JSON of finite numbers",
    '{"step": 5} {"step": 6}': "it is no JSON of finite numbers",
    '{"step": 5},{"step": 6}': "it is no JSON of finite numbers",
    "[5]": "it is no object",
    "5": "it is no object",
    "": "it is no JSON of finite numbers",
    "[" * 100_000: "it is no JSON of finite numbers",
    '{"step": 0, "seconds": 1}': "step 0 follows step 0",
    FIRST: "step 0 follows step 0",
}


def _file(directory, *lines):
    path = directory / records.FILE
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(("line", "reason"), DAMAGED.items(), ids=[x[:40] for x in DAMAGED])
def test_a_damaged_line_is_named(tmp_path, line, reason):
    path = _file(tmp_path, FIRST, line, LAST)
    for function in (records.read, records.scan):
        with pytest.raises(UserError) as caught:
            function(path)
        assert str(caught.value) == (
            f"line 2 of {path} is damaged ({reason}); fix or remove it, or use another --workdir"
        )


def test_a_damaged_line_far_down_is_named(tmp_path):
    lines = [json.dumps(USUAL | {"step": step}) for step in range(2500)]
    lines[2345] = lines[2345].replace("2.0", "x")
    with pytest.raises(UserError, match=r"^line 2346 of"):
        records.read(_file(tmp_path, *lines))
    lines[2345] = lines[17]
    with pytest.raises(UserError, match=r"^line 2346 of .* \(step 17 follows step 2344\)"):
        records.scan(_file(tmp_path, *lines))


def test_lines_of_a_scan_are_the_records(tmp_path):
    """Also of lines that were written in another form, or end in a truncated one."""
    rng = random.Random(0)
    wanted = [{"step": 3 * k, "seconds": k / 7, 'a/é"': rng.gauss(0, 1e5)} for k in range(1500)]
    for separators in ((", ", ": "), (",", ":")):
        text = [json.dumps(record, separators=separators) for record in wanted]
        path = _file(tmp_path, *text)
        with path.open("a") as file:
            file.write(text[0][:-9])
        assert records.read(path) == wanted
        lines = records.scan(path)
        assert lines.steps == [record["step"] for record in wanted]
        assert [json.loads(lines.line(k)) for k in range(len(wanted))] == wanted
        assert lines.size == path.stat().st_size > len(lines.content)


def test_no_file(tmp_path):
    path = tmp_path / records.FILE
    assert records.read(path) == [] and records.scan(path) == records.Lines(b"", [], [], 0)
