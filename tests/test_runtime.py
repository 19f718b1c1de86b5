"""Golden, property: seeds for purposes, and what is said of the machine."""

from __future__ import annotations

import json
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord import runtime


def test_golden_a_derived_seed_never_changes():
    # SHA-256 of '[0, "fit", 1, 2]', its first 32 bits halved; a change here breaks every recorded run.
    assert runtime.derive(0, "fit", 1, 2) == 1393464233
    assert runtime.derive(0) != runtime.derive(1)


@given(st.integers(0, 2**40), st.text(), st.text())
def test_property_names_are_told_apart_and_fit_31_bits(seed: int, first: str, second: str):
    assert 0 <= runtime.derive(seed, first, second) < 2**31
    assert runtime.derive(seed, first + second) != runtime.derive(seed, first, second)


def test_property_a_thousand_purposes_do_not_collide():
    assert len({runtime.derive(7, "episode", number) for number in range(1000)}) == 1000


def test_invariance_a_generator_repeats_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    drawn = [torch.rand(3, generator=runtime.generator(5, "ask")) for _ in range(2)]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(before, torch.get_rng_state())


def test_golden_processor_and_flags_are_read():
    text = "processor\t: 0\nmodel name\t: Xeon  Platinum\nflags\t\t: fpu amx_bf16 avx512_bf16\n\nflags : other\n"
    assert runtime.parse_cpuinfo(text) == ("Xeon Platinum", frozenset({"fpu", "amx_bf16", "avx512_bf16"}))
    assert runtime.parse_cpuinfo("") == ("", frozenset())


def test_contract_the_machine_and_versions_are_json():
    machine = runtime.machine()
    assert machine.cores >= 1 and machine.processor
    assert json.loads(json.dumps(machine.as_dict()))["python"] == runtime.versions()["python"]
    assert {"accord", "torch", "numpy", "gymnasium"} <= runtime.versions().keys()
    assert machine.processor in machine.describe()


def test_contract_threads_are_set_and_nonsense_refused():
    runtime.set_up(threads=1)
    assert torch.get_num_threads() == 1
    with pytest.raises(ValueError, match="threads is 0"):
        runtime.set_up(threads=0)


def test_golden_numbers_too_small_to_be_normal_count_as_nothing_while_it_is_wished():
    tiny = torch.tensor([1e-30])
    with runtime.flushed():
        inside = float((tiny * 1e-10).item())
    assert inside in (0.0, pytest.approx(1e-40, rel=0.01))  # a processor that cannot goes on as it was
    assert float((tiny * 1e-10).item()) == pytest.approx(1e-40, rel=0.01)


def test_golden_a_device_by_name():
    assert runtime.device("cpu") == torch.device("cpu")
    assert runtime.device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("wished", "installed", "found"),
    [
        ({}, ("EGL", "OSMesa"), "egl"),
        ({}, ("OSMesa",), "osmesa"),
        ({"MUJOCO_GL": ""}, (), "disable"),
        ({"MUJOCO_GL": "glfw"}, ("EGL",), "glfw"),  # the user's own choice stays
        ({"DISPLAY": ":0"}, ("EGL",), None),  # a screen is there
        ({"WAYLAND_DISPLAY": "wayland-0"}, ("EGL",), None),
    ],
)
def test_golden_without_a_screen_mujoco_draws_through_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, wished: dict[str, str], installed: tuple[str, ...], found: str | None
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "SDL_VIDEODRIVER"):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)
    for name, value in wished.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runtime.sys, "platform", "linux")
    monkeypatch.setattr(runtime.ctypes.util, "find_library", lambda name: name if name in installed else None)
    runtime.draw_without_screen()
    assert os.environ.get("MUJOCO_GL") == found
    assert ("SDL_VIDEODRIVER" in os.environ) == (found is not None)


def test_contract_the_faster_product_is_chosen_and_never_one_that_is_emulated():
    assert not runtime.Products(10.0, 11.0).bfloat16 and runtime.Products(11.0, 10.0).bfloat16
    found, native = runtime.products(), torch.cpu.get_capabilities()
    assert found is runtime.products() and found.float32_us > 0
    assert (found.bfloat16_us < float("inf")) == bool(native.get("avx512_bf16") or native.get("amx_bf16"))
