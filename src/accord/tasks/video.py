"""Frames as a video file: H.264 in MP4, which every player and slide knows. PyAV is an extra, `accord[video]`.

Its wheels carry x264, whose licence is the GPL, so nothing else here needs it: pages draw strips (`film.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image

from accord.types import InputError


def write(frames: Sequence[Image.Image], fps: float, path: Path) -> None:
    """Writes frames of one size; a side of an odd length loses a pixel, as the format wants. InputError: no PyAV."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise InputError(f"a video needs PyAV, which is missing: pip install 'accord[video]' ({error}).") from error
    width, height = (side - side % 2 for side in frames[0].size)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_image(frame.convert("RGB").crop((0, 0, width, height)))))
        file.mux(stream.encode())
