"""Clips for the page: made when a person is about to see them, kept in the store under the hash of their content."""

from __future__ import annotations

import io
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from PIL import Image as Picture

from accord.feedback.store import Store
from accord.tasks.film import Projector, told
from accord.types import Image, Reply, SegmentId, Steps

WORKERS = 2  # so that a text need not wait for a clip: clips are drawn one at a time


class Media:
    """Of segments. `view` is what a page draws a segment by; `prepare` makes clips before they are asked for."""

    def __init__(self, store: Store) -> None:
        self._store, self._projector = store, Projector()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="accord-clips")
        self._views: dict[SegmentId, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def view(self, id: SegmentId) -> dict[str, Any]:
        """Plain values: a clip's address and frames, or a reply's text. InputError: there is no such segment."""
        return self._begun(id).result()

    def prepare(self, ids: list[SegmentId]) -> None:
        """In the background."""
        for id in ids:
            self._begun(id)

    def _begun(self, id: SegmentId) -> Future[dict[str, Any]]:
        with self._lock:
            if id not in self._views:
                self._views[id] = self._pool.submit(self._make, id)
                self._views[id].add_done_callback(lambda done: self._forget(id, done))
            return self._views[id]

    def _forget(self, id: SegmentId, done: Future[dict[str, Any]]) -> None:
        """What failed is tried again when it is asked for again."""
        if done.cancelled() or done.exception():
            self._views.pop(id, None)

    def _make(self, id: SegmentId) -> dict[str, Any]:
        (segment,) = self._store.segments([id])
        if isinstance(segment, Reply):
            return {"type": "reply", "prompt": segment.prompt, "response": segment.response}
        kept = self._store.media(id) or self._drawn(id, segment)
        if isinstance(segment, Image):
            height, width = segment.pixels.shape[:2]
            return {"type": "image", "url": f"/media/{id}", "width": width, "height": height}
        facts = told(kept[0])
        return {"type": "clip", "url": f"/media/{id}", **{k: facts[k] for k in ("frames", "columns", "fps")}}

    def _drawn(self, id: SegmentId, segment: Steps | Image) -> tuple[str, bytes]:
        if isinstance(segment, Image):
            file = io.BytesIO()
            Picture.fromarray(segment.pixels).save(file, "WEBP", lossless=True)
            found = ("image/webp", file.getvalue())
        else:
            strip = self._projector.strip(segment, self._store.provenance([id])[0])
            found = (strip.mime, strip.webp)
        self._store.add_media(id, *found)
        return found

    def close(self) -> None:
        """Waits for the clip that is being made; others are not begun."""
        self._pool.shutdown(cancel_futures=True)
        self._projector.close()
