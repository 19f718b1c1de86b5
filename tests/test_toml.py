"""Golden, property: TOML to dataclasses; what is wrong is told in one sentence with a remedy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import toml
from accord.types import InputError


@dataclass(frozen=True)
class Dog:
    kind: Literal["dog"] = "dog"
    bark: float = 1.0


@dataclass(frozen=True)
class Cat:
    kind: Literal["cat"] = "cat"
    lambda_: float = 0.5


@dataclass(frozen=True)
class Owner:
    name: str
    seed: int = 0
    pet: Dog | Cat = field(default_factory=Dog)
    hidden: tuple[int, ...] = (64, 64)
    limit: float | None = None
    quiet: bool = False


TREE = {"name": "Ada"}


def refusal(tree: toml.Tree, overrides: dict[str, str] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        toml.build(Owner, tree, overrides, source="pets.toml")
    return str(caught.value)


def test_golden_a_tree_becomes_dataclasses_with_defaults_for_what_is_left_out():
    assert toml.build(Owner, TREE) == Owner("Ada")
    assert toml.build(Owner, {"name": "Ada", "pet": {"bark": 2}}).pet == Dog(bark=2.0)


def test_golden_the_tag_chooses_the_section():
    assert toml.build(Owner, TREE | {"pet": {"kind": "cat", "lambda": 1}}).pet == Cat(lambda_=1.0)
    assert 'pet.kind is "cow" in pets.toml; it must be one of "dog", "cat"' in refusal(TREE | {"pet": {"kind": "cow"}})


def test_golden_a_key_of_the_other_section_is_unknown_here():
    assert refusal(TREE | {"pet": {"kind": "dog", "lambda": 1}}).startswith('"pet.lambda" in pets.toml is no key')


def test_golden_a_misspelt_key_names_the_nearest_with_its_whole_path():
    assert refusal(TREE | {"pet": {"brak": 1}}) == (
        '"pet.brak" in pets.toml is no key of the configuration: did you mean "pet.bark"?'
    )
    assert 'did you mean "pet.bark"?' in refusal(TREE | {"bark": 1})
    assert "the keys there are name, seed, pet, hidden, limit, quiet." in refusal(TREE | {"qqq": 1})


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"seed": "5"}, 'seed is "5" in pets.toml; it must be a whole number: give one, such as 0.'),
        ({"seed": True}, "seed is true in pets.toml; it must be a whole number: give one, such as 0."),
        ({"seed": 1.5}, "seed is 1.5 in pets.toml; it must be a whole number: give one, such as 0."),
        ({"seed": {"x": 1}}, '"seed.x" in pets.toml is no key of the configuration: seed has no keys of its own, '),
        ({"quiet": 1}, "quiet is 1 in pets.toml; it must be true or false: give one, such as false."),
        ({"hidden": [1, "a"]}, 'hidden is [1, "a"] in pets.toml; it must be a list, each a whole number: give one.'),
        ({"limit": "high"}, 'limit is "high" in pets.toml; it must be a number or "none": give one.'),
        ({"pet": 3}, "pet is 3 in pets.toml; it must be a section: write [pet] and its keys below it."),
    ],
)
def test_golden_a_wrong_type_is_told_with_value_limit_and_remedy(tree: toml.Tree, sentence: str):
    assert refusal(TREE | tree).startswith(sentence)


def test_golden_a_key_without_default_must_be_given():
    assert refusal({}) == "name is missing in pets.toml; it must be a text: add it."


def test_golden_overrides_are_typed_by_their_fields():
    given = {"seed": "1e3", "hidden": "32,16", "limit": "inf", "quiet": "true", "name": "7", "pet": "cat"}
    built = toml.build(Owner, TREE, given | {"pet.lambda": "0.25"})
    assert built == Owner("7", 1000, Cat(lambda_=0.25), (32, 16), float("inf"), True)
    assert toml.build(Owner, TREE | {"limit": 3}, {"limit": "none"}).limit is None


def test_golden_a_fault_of_the_command_line_is_not_laid_on_the_file():
    assert refusal(TREE, {"seed": "x"}) == 'seed is "x"; it must be a whole number: give one, such as 0.'
    assert refusal(TREE, {"pet.brak": "1"}).startswith('"pet.brak" is no key')


def test_golden_a_word_stands_for_the_first_key_of_a_section():
    assert toml.build(Owner, TREE | {"pet": "cat"}).pet == Cat()
    assert toml.build(Owner, TREE | {"pet": {"bark": 3}}, {"pet": "dog"}).pet == Dog(bark=3.0)
    assert toml.build(Owner, TREE | {"pet": "cat"}, {"pet.lambda": "2"}).pet == Cat(lambda_=2.0)


def test_golden_every_key_is_listed_once():
    assert toml.keys(Owner) == ["name", "seed", "pet.kind", "pet.bark", "pet.lambda", "hidden", "limit", "quiet"]


def test_golden_the_line_of_broken_toml_is_told(tmp_path: Path):
    (tmp_path / "a.toml").write_text("seed = 1\nname = \n")
    with pytest.raises(InputError, match=r"a\.toml is not TOML: .*line 2"):
        toml.parse(tmp_path / "a.toml")


def test_golden_a_missing_file_names_its_neighbour(tmp_path: Path):
    (tmp_path / "cartpole.toml").touch()
    with pytest.raises(InputError, match=r"cartpol\.toml does not exist.*did you mean .*cartpole\.toml\?"):
        toml.parse(tmp_path / "cartpol.toml")
    with pytest.raises(InputError, match="cannot be read as text"):
        toml.parse(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as text"):
        toml.parse(tmp_path / "bytes.toml")


@given(
    seed=st.integers(-(2**62), 2**62),
    name=st.text(),
    hidden=st.lists(st.integers(0, 9999), max_size=4),
    limit=st.none() | st.floats(allow_nan=False),
    bark=st.floats(allow_nan=False, allow_infinity=False),
    cat=st.booleans(),
)
def test_property_what_is_written_is_read_back(
    seed: int, name: str, hidden: list[int], limit: float | None, bark: float, cat: bool
):
    pet = Cat(lambda_=bark) if cat else Dog(bark=bark)
    config = replace(Owner(name), seed=seed, hidden=tuple(hidden), limit=limit, pet=pet)
    tree = toml.plain(config)
    assert toml.build(Owner, tree) == config
    assert toml.build(Owner, toml.tomllib.loads(toml.to_text(tree))) == config
