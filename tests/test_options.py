from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from sftbench.errors import RequestError
from sftbench.options import Options, validate


class Inner(Options):
    alpha: float = Field(0.5, gt=0)
    steps: int = 3


class Outer(Options):
    ratio: float = Field(gt=1)
    tau: float = Field(1.0, ge=0, le=10)
    mode: Literal["a", "b"] = "a"
    size: int | Literal["auto"] | None = "auto"
    inner: Inner = Inner()
    list_: tuple[int, ...] = ()
    word: str = ""

    @field_validator("word")
    @classmethod
    def _word(cls, value: str) -> str:
        if value == "empty":
            raise ValueError("")
        if value == "lines":
            raise ValueError("No\n\x1b[1mgood")
        if value == "false":
            raise AssertionError("Must be true")
        return value

    @model_validator(mode="after")
    def _together(self) -> Outer:
        if self.tau > self.ratio:
            raise ValueError("tau above ratio")
        return self


def message(model: type[BaseModel] = Outer, **values: Any) -> str:
    with pytest.raises(RequestError) as caught:
        validate(model, values, "strategy 'mine'")
    assert caught.value.exit_code == 2
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_text_of_a_command_line_becomes_numbers() -> None:
    options = validate(Outer, {"ratio": "100", "size": "64", "inner": {"alpha": "2"}}, "x")

    assert options == Outer(ratio=100.0, size=64, inner=Inner(alpha=2.0))


def test_options_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner().alpha = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "strategy 'mine': option 'ratio' is missing"),
        (
            {"ratio": 1},
            "strategy 'mine': ratio = 1: input should be greater than 1",
        ),
        (
            {"ratio": "many"},
            (
                "strategy 'mine': ratio = 'many': input should be a valid number, "
                "unable to parse string as a number"
            ),
        ),
        ({"ratio": "nan"}, "strategy 'mine': ratio = 'nan': input should be a finite number"),
        (
            {"ratio": float("inf")},
            "strategy 'mine': ratio = inf: input should be a finite number",
        ),
        ({"ratio": 2, "mode": "c"}, "strategy 'mine': mode = 'c': input should be 'a' or 'b'"),
        (
            {"ratio": 2, "size": "big"},
            (
                "strategy 'mine': size = 'big': input should be a valid integer, "
                "unable to parse string as an integer, or input should be 'auto'"
            ),
        ),
        (
            {"ratio": 2, "list_": [1, "x"]},
            (
                "strategy 'mine': list_.1 = 'x': input should be a valid integer, "
                "unable to parse string as an integer"
            ),
        ),
        (
            {"ratio": 2, "inner": {"alpha": 0}},
            "strategy 'mine': inner.alpha = 0: input should be greater than 0",
        ),
        (
            {"ratio": 2, "inner": 7},
            "strategy 'mine': inner = 7: input should be a valid dictionary or instance of Inner",
        ),
        ({"ratio": 2, "tau": 3}, "strategy 'mine': tau above ratio"),
        ({"ratio": 2, "word": "false"}, "strategy 'mine': word = 'false': must be true"),
        ({"ratio": 2, "word": "empty"}, "strategy 'mine': word = 'empty': not allowed"),
        ({"ratio": 2, "word": "lines"}, r"strategy 'mine': word = 'lines': no \x1b[1mgood"),
        (
            {"ratio": "\x1b[31m\n"},
            (
                r"strategy 'mine': ratio = '\x1b[31m\n': input should be a valid number, "
                "unable to parse string as a number"
            ),
        ),
    ],
)
def test_refused_value(values: dict[str, Any], expected: str) -> None:
    assert message(**values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"ratio": 2, "tua": 1},
            (
                "strategy 'mine' has no option 'tua'; did you mean 'tau'? "
                "options: inner, list_, mode, ratio, size, tau, word"
            ),
        ),
        (
            {"ratio": 2, "qqqq": 1},
            (
                "strategy 'mine' has no option 'qqqq'; "
                "options: inner, list_, mode, ratio, size, tau, word"
            ),
        ),
        (
            {"ratio": 2, "inner": {"alhpa": 1}},
            (
                "strategy 'mine' has no option 'inner.alhpa'; did you mean 'alpha'? "
                "options: alpha, steps"
            ),
        ),
        (
            {"ratio": 2, "\x1b[2J": 1},
            (
                r"strategy 'mine' has no option '\x1b[2J'; "
                "options: inner, list_, mode, ratio, size, tau, word"
            ),
        ),
    ],
)
def test_unknown_option(values: dict[str, Any], expected: str) -> None:
    assert message(**values) == expected


def test_unknown_option_of_a_component_without_any() -> None:
    assert message(Options, tau=1) == "strategy 'mine' has no option 'tau'; options: none"


def test_long_values_are_cut() -> None:
    text = message(ratio="9" * 10_000 + "x")

    assert text.startswith("strategy 'mine': ratio = '999")
    assert len(text) < 300
