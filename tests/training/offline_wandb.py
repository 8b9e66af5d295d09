"""W&B's offline files, parsed: a log in blocks of 32 KiB, like LevelDB's, of protocol buffers."""

import struct
import time

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK, _HEADER = 2**15, 7
_WAIT = 200  # times 50 ms
_LAST_CHUNKS = (1, 4)  # of a record: the whole of it, or its end


def _records(path):
    content, i, record = path.read_bytes(), _HEADER, b""
    while i + _HEADER <= len(content):
        if _BLOCK - i % _BLOCK < _HEADER:  # the rest of a block that holds no header
            i += _BLOCK - i % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[i : i + _HEADER])
        record += content[i + _HEADER : i + _HEADER + length]
        i += _HEADER + length
        if kind in _LAST_CHUNKS:
            yield Record.FromString(record)
            record = b""


def runs(directory):
    """W&B runs below a directory, in the order in which they began."""
    found = [_run(path) for path in directory.rglob("offline-run-*/*.wandb")]
    return sorted(found, key=lambda run: run["began"])


def _run(path):
    for _ in range(_WAIT):  # W&B's own process may still be writing
        records = list(_records(path))
        if any(record.HasField("exit") for record in records):
            break
        time.sleep(0.05)
    run = next(record.run for record in records if record.HasField("run"))
    return {
        "began": run.start_time.ToNanoseconds(),
        "id": run.run_id,
        "name": run.display_name,
        "group": run.run_group,
        "project": run.project,
        "config": {item.key: item.value_json for item in run.config.update},
        "history": [
            {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            for record in records
            if record.HasField("history")
        ],
    }
