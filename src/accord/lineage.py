"""What made what: answers -> reward -> policy, by the hashes that each round recorded.

A record with `reward_hash` and `answers_hash` says: this reward was fitted to those answers (all of the store up to the
round's `cursor`). A record with `policy_hash` and `reward_hash` says: this policy was improved against that reward. A
finished run keeps its last reward and policy, a stopped one its last checkpoint; of earlier ones only the hash is left.
Where an annotator was forgotten, the answers are no longer those that the hash was made of: nobody can compare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from accord.durable import hash_file
from accord.feedback.forget import FORGOTTEN
from accord.feedback.store import Store
from accord.records import CHECKPOINTS, RESULT, STORE, hash_answers, is_run, read_manifest, read_records
from accord.types import Answer, InputError

State = Literal["same", "changed", "missing", "not kept", "forgotten"]


@dataclass(frozen=True)
class Link:
    """One hash of one round, compared with what is there now.

    "not kept" and "forgotten" are no faults, "changed" and "missing" are. `forgotten` counts answers of annotators who
    were forgotten.
    """

    round: int
    what: Literal["answers", "reward", "policy", "reward of policy"]
    recorded: str
    state: State
    forgotten: int = 0

    @property
    def holds(self) -> bool:
        return self.state in ("same", "not kept", "forgotten")


def verify(folder: Path) -> list[Link]:
    """Every link of a run's lineage. Raises `InputError` where the folder is no run or recorded no hash."""
    manifest, records = read_manifest(folder), read_records(folder)
    links = [
        *_answers(folder, manifest, records),
        *_rewards_of_policies(records),
        *_kept(folder, "reward", records),
        *_kept(folder, "policy", records),
    ]
    if not links:
        raise InputError(f"{folder} has recorded no hash yet; a lineage begins with the first fit: let the run go on.")
    return sorted(links, key=lambda link: link.round)


def store_url(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Where a run's answers are: the store that its configuration names, or the file in its folder."""
    return manifest["configuration"].get("feedback", {}).get("store") or f"sqlite:///{folder / STORE}"


def url_at(place: str, new: bool = False) -> str:
    """The URL of a store, given it or the folder of a run or of a store; `new`: it need not be there yet."""
    folder = Path(place)
    url = f"sqlite:///{folder / STORE}" if folder.is_dir() else place
    if is_run(folder):
        url = store_url(folder, read_manifest(folder))
    if not new and url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise InputError(f"{place} holds no store; give the folder of a run, or the URL of a database.")
    return url


def _answers(folder: Path, manifest: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[Link]:
    fits = [record for record in records if "answers_hash" in record]
    url = store_url(folder, manifest)
    if not fits:
        return []
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return [Link(fit["round"], "answers", fit["answers_hash"], "missing") for fit in fits]
    cursors = {record["round"]: record["cursor"] for record in records if "cursor" in record}
    store = Store(url)
    try:
        return [_of_fit(fit, store.answers(upto=cursors.get(fit["round"]))) for fit in fits]
    finally:
        store.close()


def _of_fit(fit: Mapping[str, Any], answers: Sequence[Answer]) -> Link:
    link = _compared(fit, "answers", hash_answers(answers))
    gone = sum(answer.annotator.startswith(FORGOTTEN) for answer in answers)
    return replace(link, state="forgotten", forgotten=gone) if gone and link.state == "changed" else link


def _rewards_of_policies(records: Sequence[Mapping[str, Any]]) -> list[Link]:
    """A policy must have been improved against a reward that was fitted in this run."""
    fitted = {record["reward_hash"] for record in records if "answers_hash" in record and "reward_hash" in record}
    improved = [record for record in records if "policy_hash" in record and "reward_hash" in record]
    return [
        Link(
            record["round"],
            "reward of policy",
            record["reward_hash"],
            "same" if record["reward_hash"] in fitted else "missing",
        )
        for record in improved
    ]


def _kept(folder: Path, what: Literal["reward", "policy"], records: Sequence[Mapping[str, Any]]) -> list[Link]:
    """What was recorded of each round against what is there of it: a checkpoint, or at the end the final folder."""
    own = (record for record in records if what == "policy" or "policy_hash" not in record)
    made = {record["round"]: record for record in own if f"{what}_hash" in record}
    finished = (folder / RESULT).is_file()
    links = []
    for round, record in made.items():
        final = round == max(made) and finished
        path = folder / what if final else folder / CHECKPOINTS / f"{what}-{round}"
        if path.is_dir():
            links.append(_compared(record, what, hash_file(path)))
        else:
            links.append(Link(round, what, record[f"{what}_hash"], "missing" if final else "not kept"))
    return links


def _compared(record: Mapping[str, Any], what: Literal["answers", "reward", "policy"], now: str) -> Link:
    recorded = record[f"{what}_hash"]
    return Link(record["round"], what, recorded, "same" if recorded == now else "changed")
