"""Segments, values, queries and answers to and from rows: arrays as raw bytes, the rest as JSON, nothing pickled.

An array keeps its dtype with its byte order, so that a segment read back has the hash under which it was written.
Pictures are compressed: their steps differ little, and 50 of Atari would be 1.4 MB.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from math import prod

import numpy as np
from sqlalchemy import Row

from accord.types import (
    Answer,
    Given,
    Image,
    Order,
    Provenance,
    Query,
    Reply,
    Score,
    Segment,
    Side,
    Skip,
    Steps,
    Value,
    Verdict,
)

_FAST = 1  # of zlib's levels; the others shrink frames little further
_ALIGNMENT = 8  # bytes: every array starts where its numbers may be read in place


def pack(arrays: Sequence[np.ndarray]) -> tuple[list, bytes]:
    """`[[dtype, shape], ...]` and the arrays' bytes, each padded to a multiple of eight."""
    layout, chunks = [], []
    for array in arrays:
        data = array.tobytes()
        layout.append([array.dtype.str, list(array.shape)])
        chunks += (data, b"\0" * (-len(data) % _ALIGNMENT))
    return layout, b"".join(chunks)


def unpack(layout: Sequence, body: bytes) -> list[np.ndarray]:
    """What `pack` packed, as writable arrays over one copy of the bytes."""
    memory, offset, arrays = bytearray(body), 0, []
    for dtype, shape in layout:
        count = prod(shape)
        arrays.append(np.frombuffer(memory, dtype, count, offset).reshape(shape))
        size = count * np.dtype(dtype).itemsize
        offset += size + -size % _ALIGNMENT
    return arrays


def segment_row(segment: Segment) -> dict:
    """The `kind`, `header` and `body` of a segment."""
    match segment:
        case Reply():
            fields = [segment.prompt, segment.response, list(segment.token_ids), segment.tokenizer_hash]
            return {"kind": "reply", "header": json.dumps(fields, default=_plain), "body": b""}
        case Steps():
            layout, body = pack((segment.observation, segment.action, segment.valid))
            header = [layout, bool(segment.ended)]
            if segment.observation.dtype == np.uint8:
                header, body = [*header, "zlib"], zlib.compress(body, _FAST)
            return {"kind": "steps", "header": json.dumps(header), "body": body}
        case Image():
            layout, body = pack((segment.pixels, segment.latent))
            return {"kind": "image", "header": json.dumps([layout]), "body": body}


def read_segment(kind: str, header: str, body: bytes) -> Segment:
    """The inverse of `segment_row`."""
    fields = json.loads(header)
    if kind == "reply":
        prompt, response, token_ids, tokenizer_hash = fields
        return Reply(prompt, response, tuple(token_ids), tokenizer_hash)
    arrays = unpack(fields[0], zlib.decompress(body) if fields[2:] == ["zlib"] else body)
    return Steps(*arrays, ended=fields[1]) if kind == "steps" else Image(*arrays)


def provenance_row(provenance: Provenance) -> dict:
    """A row of `provenance`, but for its segment."""
    return {
        "task": provenance.task,
        "round": int(provenance.round),
        "policy_version": int(provenance.policy_version),
        "seed": int(provenance.seed),
        "episode": int(provenance.episode),
        "start": int(provenance.start),
        "replay": provenance.replay,
    }


def read_provenance(row: Row) -> Provenance:
    """The inverse of `provenance_row`."""
    return Provenance(row.task, row.round, row.policy_version, row.seed, row.episode, row.start, row.replay)


def truth_row(truth: np.ndarray) -> dict:
    """The `header` and `body` of a sealed truth."""
    layout, body = pack((truth,))
    return {"header": json.dumps(layout), "body": body}


def read_truth(header: str, body: bytes) -> np.ndarray:
    """The inverse of `truth_row`."""
    return unpack(json.loads(header), body)[0]


_TAGS = {"side": Side, "order": Order, "score": Score, "verdict": Verdict, "given": Given, "skip": Skip}


def write_value(value: Value, marks: Sequence[int] = ()) -> str:
    """A value as JSON, tagged: `{"is": "side", "level": 1, "levels": 2}`; beside it `marks`, where there are any."""
    marked = {"marks": list(marks)} if marks else {}
    return json.dumps({"is": type(value).__name__.lower(), **vars(value), **marked}, default=_plain)


def read_value(written: str) -> Value:
    """The value that `write_value` wrote."""
    fields = json.loads(written)
    tag = fields.pop("is")
    fields.pop("marks", None)
    if tag == "order":
        return Order(tuple(fields["best_first"]))
    return _TAGS[tag](**fields)


def read_marks(written: str) -> tuple[int, ...]:
    """The marks that `write_value` wrote."""
    return tuple(json.loads(written).get("marks", ()))


def query_row(query: Query) -> dict:
    """A row of `queries`, but for its number and time; its segments are in `query_segments`."""
    return {
        "id": query.id,
        "kind": query.kind,
        "levels": int(query.levels),
        "acquisition": query.acquisition,
        "round": int(query.round),
        "overlap": int(query.overlap),
        "priority": -2 if query.gold is not None else -1 if query.repeats is not None else 0,  # `pressing.py`
        "gold": None if query.gold is None else write_value(query.gold),
        "repeats": query.repeats,
        "status": "open",
        "answered": 0,
    }


def read_query(rows: Sequence[Row]) -> Query:
    """A query from its rows, one for each of its segments in order (one with no segment where it has none)."""
    row = rows[0]
    ids = tuple(each.segment for each in rows if each.segment is not None)
    gold = None if row.gold is None else read_value(row.gold)
    return Query(row.id, row.kind, ids, row.levels, row.acquisition, row.round, row.overlap, gold, row.repeats)


def answer_row(answer: Answer) -> dict:
    """A row of `answers`, but for its seq, its annotator's number and its time."""
    return {
        "id": answer.id,
        "query": answer.query,
        "value": write_value(answer.value, answer.marks),
        "shown": json.dumps(answer.shown, default=_plain),
        "seconds": float(answer.seconds),
        "text": answer.text,
        "supersedes": answer.supersedes,
    }


def read_answer(row: Row) -> Answer:
    """An answer from its row and its annotator's names; one who was forgotten keeps the pseudonym alone."""
    return Answer(
        id=row.id,
        query=row.query,
        annotator=row.name or row.pseudonym,
        value=read_value(row.value),
        shown=tuple(json.loads(row.shown)),
        seconds=row.seconds,
        text=row.text,
        supersedes=row.supersedes,
        seq=row.seq,
        marks=read_marks(row.value),
    )


def _plain(number: np.generic) -> object:
    """A NumPy scalar as the Python number that JSON knows."""
    return number.item()
