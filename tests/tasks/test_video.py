"""Videos. Golden: what is read back has as many frames, at that pace, of those colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from accord.tasks.video import write


def test_golden_a_video_read_back_has_its_frames_pace_and_colours(tmp_path: Path):
    av = pytest.importorskip("av", reason="PyAV is not installed: no video is written")
    levels = (40, 120, 200, 90)
    frames = [Image.new("RGB", (65, 48), (level, level, level)) for level in levels]  # an odd side
    write(frames, 12.5, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as file:
        (stream,) = file.streams.video
        assert (stream.width, stream.height, float(stream.average_rate)) == (64, 48, 12.5)
        seen = [frame.to_ndarray(format="rgb24").mean() for frame in file.decode(stream)]
    assert np.allclose(seen, levels, atol=4)
