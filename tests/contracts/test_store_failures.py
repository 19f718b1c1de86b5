"""Contract tests of a store that is killed, full, moved, closed, newer, or no store at all."""

import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from accord.feedback.store import Store
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side

# A fork has everything imported already. It opens a store of its own, and leaves without any clean-up.
processes = multiprocessing.get_context("fork")


def ask(url: str, count: int, overlap: int = 1) -> None:
    store = Store(url)
    first, second = store.add([Collected(Reply("p", it), Provenance("t", 0, 0, 0, 0, 0)) for it in "ab"])
    store.ask([Query(f"q{i:04}", "compare", (first, second), overlap=overlap) for i in range(count)])
    store.close()


def label(url: str, annotator: str, batch: int, acknowledge: Callable[[object], None]) -> None:
    """Answers what it can lease, and tells the id and seq of each answer once the store has returned."""
    store = Store(url)
    store.register(annotator, "teacher")
    store.release(annotator)
    while leases := store.lease(annotator, limit=batch):
        ids = [it.query.id for it in leases]
        answers = [Answer(f"{annotator} {id}", id, annotator, Side(1, 2), text="x" * 500) for id in ids]
        seqs = store.answer(answers, tokens=[it.token for it in leases])
        acknowledge([(answer.id, seq) for answer, seq in zip(answers, seqs, strict=True)])
    store.close()


def label_until_refused(url: str, annotator: str, batch: int, acknowledge: Callable[[object], None]) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # no file may grow beyond, as on a full disk
    try:
        label(url, annotator, batch, acknowledge)
    except InputError as error:
        acknowledge(str(error))


def received(pipe: Connection) -> list:
    """Everything that a process sent before it ended, half a message left out."""
    found = []
    try:
        while True:
            found.append(pipe.recv())
    except (EOFError, OSError):
        return found


def start(work: Callable, url: str, batch: int) -> tuple[BaseProcess, Connection]:
    here, there = processes.Pipe(duplex=False)
    process = processes.Process(target=work, args=(url, "ann", batch, there.send))
    process.start()
    there.close()
    return process, here


def test_contract_a_killed_writer_loses_nothing_that_was_acknowledged(url):
    rng = random.Random(0)
    ask(url, 400)
    acknowledged: list[tuple[str, int]] = []
    for kill in range(12):
        process, pipe = start(label, url, 1 + kill % 3)
        pipe.poll(20)  # the first acknowledgement: it is at work
        time.sleep(rng.uniform(0, 0.05))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        acknowledged += [pair for batch in received(pipe) for pair in batch]
    store = Store(url)
    stored = [(answer.id, answer.seq) for answer in store.answers()]
    store.close()
    assert len(acknowledged) >= 12
    assert [seq for _, seq in stored] == list(range(1, len(stored) + 1))
    assert len({id for id, _ in stored}) == len(stored)
    assert set(acknowledged) <= set(stored) and len(set(acknowledged)) == len(acknowledged)


def test_contract_processes_that_open_an_empty_store_and_label_at_once_agree(url):
    barrier = processes.Barrier(3)

    def work(annotator: str) -> None:
        barrier.wait()
        ask(url, 20, overlap=2)
        label(url, annotator, 2, lambda _: None)

    crew = [processes.Process(target=work, args=(annotator,)) for annotator in "abc"]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    assert [process.exitcode for process in crew] == [0, 0, 0]
    for annotator in "abc":
        label(url, annotator, 40, lambda _: None)  # what each left because others held it at that moment
    store = Store(url)
    answers = store.answers()
    assert store.waiting() == 0
    store.close()
    assert [answer.seq for answer in answers] == list(range(1, 41))
    assert len({(answer.query, answer.annotator) for answer in answers}) == 40


def test_contract_a_full_disk_stops_with_a_sentence_and_keeps_what_was_acknowledged(tmp_path):
    file = tmp_path / "feedback.db"
    ask(f"sqlite:///{file}", 400)
    process, pipe = start(label_until_refused, f"sqlite:///{file}", 1)
    *acknowledged, message = received(pipe)
    process.join()
    assert "failed (disk I/O error), what it acknowledged is safe" in message
    store = Store(f"sqlite:///{file}")
    assert [(answer.id, answer.seq) for answer in store.answers()] == [batch[0] for batch in acknowledged]
    assert len(acknowledged) >= 5
    waiting = store.waiting()
    store.close()
    assert waiting == 400 - len(acknowledged)
    label(f"sqlite:///{file}", "ann", 400, lambda _: None)  # where there is room again, it goes on
    store = Store(f"sqlite:///{file}")
    assert store.waiting() == 0
    store.close()


def test_contract_a_closed_store_says_so(url):
    store = Store(url)
    store.close()
    store.close()
    with pytest.raises(InputError, match="is closed; open it again"):
        store.answers()
    with pytest.raises(InputError, match="is closed"):
        store.register("a", "person")


@pytest.mark.parametrize("replaced", [False, True])
def test_contract_a_moved_file_is_noticed_before_anything_is_acknowledged(tmp_path, replaced):
    file = tmp_path / "feedback.db"
    store = Store(f"sqlite:///{file}")
    file.rename(tmp_path / "elsewhere.db")
    if replaced:
        file.write_bytes(b"")
    with pytest.raises(InputError, match="moved or replaced"):
        store.register("a", "person")
    store.close()


def test_contract_a_newer_schema_is_refused_and_left_alone(url):
    Store(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE accord_schema SET version_num = '9999'"))
    with pytest.raises(InputError, match=r"has schema 9999, this accord knows up to \d{4}; upgrade accord"):
        Store(url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM accord_schema")).scalar_one() == "9999"
    engine.dispose()


def test_contract_another_programs_tables_are_refused_and_left_alone(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE answers (mine INTEGER)"))
    with pytest.raises(InputError, match="another program's table 'answers'"):
        Store(url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT mine FROM answers")).all() == []
    engine.dispose()


def test_contract_a_store_opened_again_has_everything(url):
    ask(url, 2)
    store = Store(url)
    store.register("a", "person")
    store.answer([Answer("x", "q0001", "a", Side(0, 2))])
    store.close()
    again = Store(url)
    assert [query.id for query in again.queries()] == ["q0000", "q0001"]
    assert again.answers() == [Answer("x", "q0001", "a", Side(0, 2), seq=1)]
    again.close()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("feedback.db", "is no URL"),
        ("", "is no URL"),
        ("mysql://host/database", "no driver 'mysql'"),
        ("postgresql+asyncpg://host/database", "no driver"),
        ("sqlite:////no/such/folder/feedback.db", "there is no folder '/no/such/folder'"),
        ("sqlite:///{folder}", "is a folder"),
        ("sqlite:///{folder}/text.db", "file is not a database"),
        ("postgresql://accord:secret@127.0.0.1:1/accord?connect_timeout=3", "refused"),
        ("postgresql://127.0.0.1:port/accord", "is no URL"),
    ],
)
def test_contract_a_wrong_url_is_one_sentence_without_its_password(tmp_path: Path, wrong, why):
    (tmp_path / "text.db").write_text("Dear diary, this is a text and not a database. " * 30)
    with pytest.raises(InputError, match=why) as refused:
        Store(wrong.format(folder=tmp_path))
    assert "secret" not in str(refused.value) and "\n" not in str(refused.value)
