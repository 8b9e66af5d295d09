"""TensorBoard events, parsed from their files."""

import struct

import numpy as np
from tensorboardX.proto.event_pb2 import Event

from infojax.training.recorder import read_records


def _events(workdir):
    """All events, from the length-prefixed records of the files sorted by name."""
    events = []
    for path in sorted(workdir.glob("events.out.tfevents.*")):
        content, i = path.read_bytes(), 0
        while i < len(content):
            (length,) = struct.unpack("<Q", content[i : i + 8])
            events.append(Event.FromString(content[i + 12 : i + 12 + length]))
            i += 16 + length
    return events


def scalars(workdir):
    """The scalars that TensorBoard shows: a restart drops those of its step and later ones."""
    shown = {}
    for event in _events(workdir):
        if event.HasField("session_log"):
            shown = {key: value for key, value in shown.items() if key[0] < event.step}
        for value in event.summary.value:
            assert (event.step, value.tag) not in shown
            shown[event.step, value.tag] = value.simple_value
    return shown


def expected_scalars(workdir):
    return {
        (record["step"], name): np.float32(value)
        for record in read_records(workdir)
        for name, value in record.items()
        if name not in ("step", "seconds")
    }
