"""TOML to frozen dataclasses: every key known, every value of its type, every error one sentence with a remedy.

A section is a dataclass, a key one of its fields (a field that ends in `_`, such as `lambda_`, is the key `lambda`).
Where a section may be one of several dataclasses, the default of their `kind` or `algorithm` says which is meant. A
word in place of a section whose first key is a text sets that key: `teacher = "noisy"` is `teacher.flaw = "noisy"`.
"none" is the value None where that is allowed.

Values are validated by pydantic in strict mode; ranges are the owners' business, in `__post_init__`.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from accord.types import InputError

Tree = dict[str, Any]
Section = TypeVar("Section")

TAGS = ("kind", "algorithm")  # the keys that say which of several dataclasses a section is
WORD = ""  # the key under which a word given in place of a section is kept
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): '"none"'}


class Text(str):
    """A value from the command line: text that takes its field's type."""


def parse(path: Path) -> Tree:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.toml")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "give the path of a TOML file."
        raise InputError(f"{path} does not exist; a run starts from a configuration file: {hint}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}; correct that line.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}); give the path of a TOML file.") from None


def build(
    owner: type[Section],
    tree: Tree,
    overrides: Mapping[str, str] | None = None,
    source: str = "",
    among: Callable[[Tree], Mapping[str, tuple[type, ...]]] = lambda tree: {},
) -> Section:
    """The dataclass `owner` from a tree of tables and, on top, dotted keys with their values as text.

    `among` says, of the whole tree, which dataclasses a section may be here, where those are fewer than its type says.
    Raises `InputError` for an unknown key (naming the nearest valid one) and for a value that is not of its type.
    """
    for path, text in (overrides or {}).items():
        tree = _with(tree, path.replace("-", "_").split("."), Text(text))
    return _Reader(owner, source, among(tree)).section((owner,), tree, "")


def plain(config: object) -> Tree:
    """A dataclass as a tree that `build` reads back; what JSON has no word for (infinity) becomes text."""
    tree: Tree = {}
    for field in _fields(type(config)):
        value = getattr(config, field.name)
        if is_dataclass(value):
            tree[_key(field)] = plain(value)
        elif isinstance(value, float) and not math.isfinite(value):
            tree[_key(field)] = str(value)
        else:
            tree[_key(field)] = list(value) if isinstance(value, tuple) else value
    return tree


def to_text(tree: Tree, above: str = "") -> str:
    """A tree as the text of a TOML file."""
    lines = [f"{key} = {_literal(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    head = [f"[{above}]"] if above and lines else []
    text = "\n".join(head + lines) + "\n" if lines else ""
    for key, value in tree.items():
        if isinstance(value, dict):
            text += ("\n" if text else "") + to_text(value, f"{above}.{key}" if above else key)
    return text


def keys(owner: type, above: str = "") -> list[str]:
    """Every dotted key of a dataclass, and of each dataclass that a section may be."""
    found: list[str] = []
    hints = get_type_hints(owner)
    for field in _fields(owner):
        path = above + _key(field)
        sections = _sections(hints[field.name])
        found += [key for section in sections for key in keys(section, f"{path}.")] if sections else [path]
    return list(dict.fromkeys(found))


class _Reader:
    """Walks a tree beside the dataclasses it must fit. Knows the root and the file for the sake of its messages."""

    def __init__(self, root: type, source: str, among: Mapping[str, tuple[type, ...]]) -> None:
        self.root = root
        self.source = source
        self.among = among

    def section(self, owners: tuple[type, ...], tree: Tree, above: str) -> Any:
        """One dataclass, its sections first."""
        if WORD in tree:
            tree = self._spelt_out(owners[0], tree, above)
        owner = self._chosen(owners, tree, above)
        hints = get_type_hints(owner)
        named = {_key(field): field for field in _fields(owner)}
        values: Tree = {}
        for name, value in tree.items():
            if name not in named:
                raise InputError(self._unknown(value, above, name, list(named)))
            field = named[name]
            values[field.name] = self._field(hints[field.name], value, above + name, field.default)
        for name, field in named.items():  # a section that is left out has its defaults, through the same door
            sections = self._may_be(hints[field.name], above + name)
            if field.name not in values and sections:
                values[field.name] = self.section(sections, {}, f"{above}{name}.")
            elif field.name not in values and field.default is field.default_factory is MISSING:
                needed = describe(hints[field.name])
                raise InputError(f"{above}{name} is missing{self._place()}; it must be {needed}: add it.")
        return owner(**values)

    def _may_be(self, hint: Any, path: str) -> tuple[type, ...]:
        return self.among.get(path) or _sections(hint)

    def _field(self, hint: Any, value: Any, path: str, default: Any) -> Any:
        sections = self._may_be(hint, path)
        if not sections:
            return self._value(hint, value, path, default)
        if isinstance(value, str):
            value = {WORD: value}
        if not isinstance(value, dict):
            raise InputError(self._no_section(value, path))
        return self.section(sections, value, f"{path}.")

    def _value(self, hint: Any, value: Any, path: str, default: Any) -> Any:
        """A leaf, typed by pydantic."""
        if isinstance(value, dict):
            inner = next((key for key in value if key != WORD), "")
            raise InputError(
                f'"{path}.{inner}"{self._place(value)} is no key of the configuration: '
                f"{path} has no keys of its own, it must be {describe(hint)}."
            )
        candidate = _from_text(hint, value) if isinstance(value, Text) else value
        try:
            return TypeAdapter(hint).validate_json(json.dumps(_suited(hint, candidate), default=str), strict=True)
        except ValidationError:
            raise InputError(
                f"{path} is {_shown(value)}{self._place(value)}; it must be {describe(hint)}: "
                f"{_remedy(hint, value, default)}"
            ) from None

    def _spelt_out(self, owner: type, tree: Tree, above: str) -> Tree:
        """The tree with the word that stood for the section under the section's first key."""
        if not _takes_word(owner):
            raise InputError(self._no_section(tree[WORD], above[:-1]))
        first = _key(_fields(owner)[0])
        return {first if key == WORD else key: value for key, value in tree.items()}

    def _chosen(self, owners: tuple[type, ...], tree: Tree, above: str) -> type:
        """Which dataclass a section is, by its tag; the first where none is given."""
        if len(owners) == 1:
            return owners[0]
        tag = next(tag for tag in TAGS if all(tag in _names(owner) for owner in owners))
        if tag not in tree:
            return owners[0]
        known: dict[str, type] = {}
        for owner in owners:
            for word in _tags(owner, tag):
                known.setdefault(word, owner)
        for name, owner in known.items():  # "sb3:PPO" stands for all words that begin with "sb3:"
            if ":" in name and str(tree[tag]).startswith(name.partition(":")[0] + ":"):
                return owner
        return known[self._value(Literal[tuple(known)], tree[tag], f"{above}{tag}", None)]

    def _no_section(self, value: Any, path: str) -> str:
        place = self._place(value)
        return f"{path} is {_shown(value)}{place}; it must be a section: write [{path}] and its keys below it."

    def _unknown(self, value: Any, above: str, name: str, siblings: list[str]) -> str:
        near = nearest(name, above, siblings, keys(self.root))
        remedy = f'did you mean "{near}"?' if near else f"the keys there are {', '.join(siblings)}."
        return f'"{above}{name}"{self._place(value)} is no key of the configuration: {remedy}'

    def _place(self, value: Any = None) -> str:
        """Where a value stands: in the file, or nowhere if the command line gave it."""
        leaf = value
        while isinstance(leaf, dict) and leaf:
            leaf = list(leaf.values())[-1]  # what the command line gives comes last
        return f" in {self.source}" if self.source and not isinstance(leaf, Text) else ""


def nearest(name: str, above: str, siblings: list[str], everywhere: list[str]) -> str | None:
    """The valid key that a wrong one was most likely meant to be: in its section, else of a like name elsewhere."""
    if beside := difflib.get_close_matches(name, siblings, n=1, cutoff=0.6):
        return above + beside[0]
    ends = [key.rpartition(".")[2] for key in everywhere]
    alike = difflib.get_close_matches(name, ends, n=1, cutoff=0.7)
    return everywhere[ends.index(alike[0])] if alike else None


def describe(hint: Any) -> str:
    """A type in words: "a whole number", "one of ...", "a list of numbers"."""
    members = _members(hint)
    if len(members) > 1:
        return " or ".join(describe(member) for member in members)
    if get_origin(hint) is Literal:
        options = [json.dumps(option) for option in get_args(hint)]
        return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    if get_origin(hint) in (tuple, list):
        inner = describe(get_args(hint)[0])
        return f"a list, each {inner}"
    return NAMES.get(hint, str(getattr(hint, "__name__", hint)))


def _remedy(hint: Any, value: Any, default: Any) -> str:
    options = [str(option) for member in _members(hint) if get_origin(member) is Literal for option in get_args(member)]
    if near := difflib.get_close_matches(str(value), options, n=1, cutoff=0.5):
        return f'did you mean "{near[0]}"?'
    if options:
        return "choose one of these." if len(options) > 1 else "write that."
    return f"give one, such as {_literal(default)}." if isinstance(default, (int, float, str)) else "give one."


def _suited(hint: Any, value: Any) -> Any:
    """What TOML writes in a form of its own: "none", 1e5 for a whole number, a word for infinity."""
    members = _members(hint)
    if value == "none" and type(None) in members:
        return None
    if isinstance(value, str) and value in ("inf", "-inf") and float in members:
        return float(value)
    if isinstance(value, float) and value.is_integer() and int in members and float not in members:
        return int(value)
    return value


def _from_text(hint: Any, text: Text) -> Any:
    """A value from the command line, read as TOML would read it unless its field takes text."""
    members = _members(hint)
    listed = text.startswith("[") and any(get_origin(member) is tuple for member in members)
    if not listed and (str in members or any(get_origin(member) is Literal for member in members)):
        return str(text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    if any(get_origin(member) is tuple for member in members):  # --policy.hidden 64,64
        try:
            return tomllib.loads(f"value = [{text}]")["value"]
        except tomllib.TOMLDecodeError:
            return text.split(",")
    return str(text)


def _with(tree: Tree, path: list[str], value: Text) -> Tree:
    """The tree with one value replaced. A word that stood for a section stays its first key."""
    key, rest = path[0], path[1:]
    inner = tree.get(key)
    if not rest:
        return {**tree, key: {**inner, WORD: value} if isinstance(inner, dict) else value}
    below = inner if isinstance(inner, dict) else {} if inner is None else {WORD: inner}
    return {**tree, key: _with(below, rest, value)}


def _sections(hint: Any) -> tuple[type, ...]:
    """The dataclasses that a field of this type may hold; () where it holds a value."""
    return tuple(member for member in _members(hint) if isinstance(member, type) and is_dataclass(member))


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _takes_word(owner: type) -> bool:
    hint = get_type_hints(owner)[_fields(owner)[0].name]
    return any(member is str or get_origin(member) is Literal for member in _members(hint))


def _fields(owner: type) -> tuple[Field[Any], ...]:
    return tuple(field for field in fields(owner) if field.init)


def _names(owner: type) -> Iterator[str]:
    return (field.name for field in _fields(owner))


def _tags(owner: type, tag: str) -> tuple[str, ...]:
    """The words by which a dataclass is chosen: those that its tag may be, or the default where that is any text."""
    words = get_args(get_type_hints(owner)[tag])
    return words or tuple(str(field.default) for field in _fields(owner) if field.name == tag)


def _key(field: Field[Any]) -> str:
    return field.name.rstrip("_")


def _shown(value: Any) -> str:
    return json.dumps(value, default=str) if not isinstance(value, dict) else "a section"


def _literal(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )  # the one character TOML refuses beyond JSON
