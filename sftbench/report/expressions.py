"""Filters of rows: Python's parser reads them, a few kinds of node are known, nothing is evaluated.

    strategy != 'scratch' and seed < 5
    verdict in ('success', 'failure') and not mean < 0.5
    'longtail' in variant or missing != ''

A comparison with a value that is missing is false, but for `mean == None` and `mean != None`.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sftbench.errors import RequestError
from sftbench.names import nearest, shown

Kind = Literal["text", "number"]
Row = Mapping[str, Any]

_MOST_CHARACTERS = 1000
_DEEPEST = 20
_ALLOWED = "names, numbers, texts in quotes, ==, !=, <, <=, >, >=, in, not in, and, or, not, ( )"
_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SAME = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)
_NEGATED = (ast.NotEq, ast.IsNot, ast.NotIn)
_WORDS: Mapping[type[ast.AST], str] = {
    ast.Call: "a call",
    ast.Attribute: "an attribute",
    ast.Subscript: "an index",
    ast.BinOp: "arithmetic",
    ast.Lambda: "a lambda",
    ast.IfExp: "if ... else",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "an f-string",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.Starred: "a star",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on rows.

    Attributes:
        text: As a person wrote it.
        names: Columns that it asks for.
    """

    text: str
    names: frozenset[str]
    _test: Callable[[Row], bool]

    def holds(self, row: Row) -> bool:
        """Tell whether a row, which has every column of `names`, is meant."""
        return self._test(row)


@dataclass(frozen=True, slots=True)
class _Operand:
    """One side of a comparison: a column or a constant. `kind` None: the constant None."""

    kind: Kind | None
    told: str
    get: Callable[[Row], Any]


def parse_filter(text: str, kinds: Mapping[str, Kind]) -> Filter:
    """Return the filter that a person wrote.

    Args:
        text: The expression.
        kinds: Columns that it may name, and whether each holds texts or numbers.

    Raises:
        RequestError: It is no such expression, or compares what cannot be compared.
    """
    reader = _Reader(kinds)
    try:
        test = reader.condition(_parsed(text), 0)
    except RequestError as error:
        raise RequestError(f"filter {shown(text)}: {error}") from None
    return Filter(text, frozenset(reader.names), test)


def _parsed(text: str) -> ast.expr:
    if len(text) > _MOST_CHARACTERS:
        raise RequestError(f"has {len(text)} characters; the most is {_MOST_CHARACTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a strange escape in a text is no concern of ours
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        raise RequestError(f"cannot be read: {error.msg}{where}; allowed: {_ALLOWED}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise RequestError(f"cannot be read: {error or 'it is nested too deep'}") from None


class _Reader:
    """Turns nodes into functions of a row, and checks kinds on the way."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self.names: set[str] = set()

    def condition(self, node: ast.expr, depth: int) -> Callable[[Row], bool]:
        """Return what tells whether a row is meant."""
        if depth > _DEEPEST:
            raise RequestError(f"is nested deeper than {_DEEPEST} levels")
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.condition(one, depth + 1) for one in values]
                joined = all if isinstance(op, ast.And) else any
                return lambda row: joined(part(row) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                test = self.condition(inner, depth + 1)
                return lambda row: not test(row)
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                pairs = [self._pair(sides[i], op, sides[i + 1]) for i, op in enumerate(ops)]
                return lambda row: all(pair(row) for pair in pairs)
            case ast.Name() | ast.Constant():
                told = self._operand(node).told
                raise RequestError(f"{told} alone is no condition; compare it with something")
            case _:
                raise _refused(node)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Callable[[Row], bool]:
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, right, is_negated=isinstance(op, _NEGATED))
        a, b = self._operand(left), self._operand(right)
        if isinstance(op, _SAME):
            return _sameness(a, b, op)
        if a.kind is None or b.kind is None:
            raise RequestError("None has no order; use == None or != None")
        _check_kinds(a, b)
        compare = _ORDER[type(op)]

        def ordered(row: Row) -> bool:
            x, y = a.get(row), b.get(row)
            return x is not None and y is not None and compare(x, y)

        return ordered

    def _membership(
        self, left: ast.expr, right: ast.expr, *, is_negated: bool
    ) -> Callable[[Row], bool]:
        a = self._operand(left)
        if isinstance(right, ast.Tuple | ast.List):
            items = [self._operand(one) for one in right.elts]
            for item in items:
                if item.kind is not None and a.kind is not None:
                    _check_kinds(a, item)

            def among(row: Row) -> bool:
                x = a.get(row)
                return x is not None and is_negated != any(x == item.get(row) for item in items)

            return among
        b = self._operand(right)
        if a.kind != "text" or b.kind != "text":
            raise RequestError(
                f"in asks for a text within a text or for one of a list, as in "
                f"'tail' in variant or seed in (0, 1), not for {a.told} in {b.told}"
            )

        def within(row: Row) -> bool:
            x, y = a.get(row), b.get(row)
            return x is not None and y is not None and is_negated != (x in y)

        return within

    def _operand(self, node: ast.expr) -> _Operand:
        match node:
            case ast.Name(id=name):
                if name not in self._kinds:
                    raise _unknown(name, self._kinds)
                self.names.add(name)
                return _Operand(self._kinds[name], name, lambda row: row[name])
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return _constant(-number)
            case ast.Constant(value=value):
                return _constant(value)
            case _:
                raise _refused(node)


def _constant(value: object) -> _Operand:
    if value is None:
        return _Operand(None, "None", lambda _: None)
    if isinstance(value, str):
        return _Operand("text", shown(value, 40), lambda _: value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _Operand("number", shown(value, 40), lambda _: value)
    raise RequestError(f"{shown(value, 40)} is neither a number nor a text; allowed: {_ALLOWED}")


def _sameness(a: _Operand, b: _Operand, op: ast.cmpop) -> Callable[[Row], bool]:
    is_negated = isinstance(op, _NEGATED)
    if a.kind is None or b.kind is None:
        return lambda row: is_negated != (a.get(row) is None and b.get(row) is None)
    if isinstance(op, ast.Is | ast.IsNot):
        raise RequestError("is stands before None alone; use == or !=")
    _check_kinds(a, b)

    def same(row: Row) -> bool:
        x, y = a.get(row), b.get(row)
        return x is not None and y is not None and is_negated != (x == y)

    return same


def _check_kinds(a: _Operand, b: _Operand) -> None:
    if a.kind != b.kind:
        raise RequestError(f"{a.told} is a {a.kind} and {b.told} a {b.kind}")


def _refused(node: ast.expr) -> RequestError:
    word = _WORDS.get(type(node), f"a {type(node).__name__}")
    return RequestError(f"{word} is not allowed; allowed: {_ALLOWED}")


def _unknown(name: str, kinds: Mapping[str, Kind]) -> RequestError:
    close = nearest(name, kinds)
    hint = f"did you mean {' or '.join(close)}?" if close else f"columns: {', '.join(kinds)}"
    return RequestError(f"no column {shown(name)}; {hint}")
