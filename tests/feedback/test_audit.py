"""The audit log. Contract: events come in order, name nobody, and a change in the middle is seen."""

from dataclasses import replace
from pathlib import Path

from accord.feedback.audit import broken
from accord.feedback.store import Store


def test_contract_events_are_chained_and_a_change_is_seen(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}", clock=lambda: 12.5)
    store.register("ann@example.org", "person")
    store.log("join", "ann@example.org", "annotator")
    store.log("invite", about="reviewer")
    store.log("forget", about="e1a9")
    found = store.events()
    store.close()
    assert [(event.seq, event.what, event.at) for event in found] == [
        (1, "join", 12.5),
        (2, "invite", 12.5),
        (3, "forget", 12.5),
    ]
    assert found[0].actor and found[1].actor == "" and "ann" not in "".join(event.actor for event in found)
    assert broken(found) is None
    assert broken([found[0], replace(found[1], about="owner"), found[2]]) == 2
    assert broken([found[0], found[2]]) == 3


def test_contract_the_log_goes_on_where_it_was(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    for about in ("annotator", "reviewer"):
        store = Store(url)
        store.log("invite", about=about)
        store.close()
    store = Store(url)
    assert [event.about for event in store.events()] == ["annotator", "reviewer"] and broken(store.events()) is None
    store.close()
