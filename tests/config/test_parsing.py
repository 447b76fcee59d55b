"""Plain values as dataclasses: conversions, refusals and their messages."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseg.config.parsing import parse
from eseg.errors import ConfigError


@dataclass(frozen=True)
class Wheel:
    radius: float
    colour: tuple[int, int, int] = (0, 0, 0)
    holes: tuple[int, ...] = ()

    def __post_init__(self):
        if self.radius <= 0:
            raise ValueError(f"radius must be above 0, not {self.radius}")


@dataclass(frozen=True)
class Cart:
    name: str
    wheels: tuple[Wheel, ...] = ()
    seats: int = 1
    kind: Literal["hand", "horse"] = "hand"
    covered: bool = False
    plan: Path | None = None
    paint: bool | Path = False
    tints: tuple[tuple[int, int, int], ...] = ()
    spare: Wheel | None = None
    named: dict[str, Wheel] = field(default_factory=lambda: {"left": Wheel(1.0)})


def test_values_are_built_and_converted_where_nothing_is_lost():
    raw = {
        "name": "no",
        "wheels": [{"radius": "1e-4", "colour": [1, 2.0, "3"]}, {"radius": 2, "holes": 5}],
        "seats": 4.0,
        "plan": "plans/a.txt",
        "paint": "red.txt",
        "tints": [[1, 2, 3]],
        "spare": None,
        "named": {"right": {"radius": 3}},
    }
    assert parse(Cart, raw) == Cart(
        "no",
        (Wheel(1e-4, (1, 2, 3)), Wheel(2.0, holes=(5,))),
        4,
        plan=Path("plans/a.txt"),
        paint=Path("red.txt"),
        tints=((1, 2, 3),),
        named={"right": Wheel(3.0)},
    )
    assert parse(Cart, {"name": "a", "wheels": {"radius": 1}}).wheels == (Wheel(1.0),)
    assert parse(Cart, {"name": "a", "paint": True}).paint is True


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": False},
            "name: expected text, got false, as YAML reads a bare yes, no, on or off",
        ),
        ({"name": 12}, "name: expected text, got 12; put quotes around it"),
        ({"name": ["a"]}, r"name: expected text, got \['a'\]$"),
        ({"seats": True}, "seats: expected a whole number, got true"),
        ({"seats": 2.5}, "seats: expected a whole number, got 2.5"),
        ({"seats": "many"}, "seats: expected a whole number, got 'many'"),
        ({"seats": None}, "seats: expected a whole number, got nothing"),
        ({"kind": "ox"}, "kind: expected one of hand, horse, got 'ox'"),
        ({"covered": "perhaps"}, "covered: expected true or false, got 'perhaps'"),
        ({"plan": 3}, "plan: expected a path or null, got 3"),
        ({"paint": [1]}, r"paint: expected true or false or a path, got \[1\]"),
        ({"spare": {"radius": True}}, "spare.radius: expected a finite number, got true"),
        ({"spare": {"radius": float("nan")}}, "spare.radius: expected a finite number, got nan"),
        ({"spare": {"radius": ".inf"}}, "spare.radius: expected a finite number, got '.inf'"),
        ({"spare": {"radius": -1}}, r"spare: radius must be above 0, not -1"),
        ({"spare": {}}, "spare.radius: missing"),
        ({"spare": 3}, "spare: expected keys with values or null, got 3"),
        (
            {"spare": {"radius": 1, "radios": 1}},
            r"spare.radios: unknown key; did you mean 'radius'\? allowed: r",
        ),
        ({"tints": [1, 2, 3]}, r"tints\[0\]: expected a list of 3 whole numbers, got 1"),
        ({"tints": [[1, 2]]}, r"tints\[0\]: expected a list of 3 whole numbers, got \[1, 2\]"),
        ({"tints": [[1, 2, 3, 4]]}, r"tints\[0\]: expected a list of 3 whole numbers"),
        ({"tints": [[1, True, 3]]}, r"tints\[0\]\[1\]: expected a whole number, got true"),
        ({"wheels": [{"radius": 1}, {"radius": 2, "holes": ["a"]}]}, r"wheels\[1\].holes\[0\]: "),
        ({"wheels": None}, r"wheels\[0\]: expected keys with values, got nothing"),
        ({"named": {}}, r"named: expected keys with values, got \{\}"),
        ({"named": {1: {"radius": 1}}}, "named: expected keys that are text, got 1; put quotes"),
        ({"named": {"left": {"radius": -1}}}, "named.left: radius must be above 0"),
        ({"named": "left"}, "named: expected keys with values, got 'left'"),
        ({True: 1}, "the file: expected keys that are text, got true"),
        ({"colour": 1}, "colour: unknown key; did you mean 'covered'|colour: unknown key; allowed"),
        ({"name": {"a": "x" * 500}}, "name: expected text, got .{,60}$"),
    ],
)
def test_wrong_values_are_named_with_their_place(values, message):
    with pytest.raises(ConfigError, match=rf"^{message}"):
        parse(Cart, {"name": "cart"} | values)


def test_everything_wrong_is_in_one_line():
    raw = {"wheels": [{"colour": 1}, {"radius": 1, "size": 2}], "seats": True, "kind": "ox"}
    with pytest.raises(ConfigError) as error:
        parse(Cart, raw)
    assert sorted(str(error.value).split("; ")) == sorted(
        [
            "name: missing",
            "wheels[0].radius: missing",
            "wheels[0].colour: expected a list of 3 whole numbers, got 1",
            "wheels[1].size: unknown key",
            "allowed: radius, colour, holes",
            "seats: expected a whole number, got true",
            "kind: expected one of hand, horse, got 'ox'",
        ]
    )


def test_extra_keys_are_checked_and_left_out():
    extra = ((Wheel, "make", Literal["oak", "ash"]),)
    raw = {"name": "a", "spare": {"make": "oak", "radius": 1}}
    assert parse(Cart, raw, extra).spare == Wheel(1.0)
    for wrong in ("fir", ["oak"], None):
        raw["spare"]["make"] = wrong
        with pytest.raises(ConfigError, match=r"^spare.make: expected one of oak, ash, got "):
            parse(Cart, raw, extra)
    with pytest.raises(ConfigError, match=r"did you mean 'make'\? allowed: make, radius, colour"):
        parse(Cart, {"name": "a", "spare": {"maker": "oak", "radius": 1}}, extra)
    with pytest.raises(ConfigError, match=r"allowed: name, wheels"):
        parse(Cart, {"name": "a", "make": "oak"}, extra)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["name", "wheels", "radius", "colour", "spare", "named", "tints", 1]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_any_value_gives_a_config_or_one_line(raw):
    try:
        parse(Cart, raw)
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert message
    assert "Input should" not in message
