"""Clips for the page: made when a person is about to see them, kept in the store under the hash of their content."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image as Picture

from accord.feedback.store import Store
from accord.tasks.film import Projector, told
from accord.types import Image, Reply, SegmentId, Steps


class Media:
    """Of segments. `view` is what a page draws a segment by; `prepare` makes clips before they are asked for."""

    def __init__(self, store: Store) -> None:
        self._store, self._projector = store, Projector()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="accord-clips")
        self._made: dict[SegmentId, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def view(self, id: SegmentId) -> dict[str, Any]:
        """Plain values: a clip's address and frames, or a reply's text."""
        with self._lock:
            if id not in self._made:
                self._made[id] = self._make(id)
            return self._made[id]

    def prepare(self, ids: list[SegmentId]) -> None:
        """In the background."""
        for id in ids:
            self._pool.submit(self.view, id)

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
