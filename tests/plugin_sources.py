"""Modules that plugins of tests consist of."""

from __future__ import annotations

HEAD = """
from sftbench.api import Dataset, Entry, Family, Options, Strategy, hookimpl

class Mine(Strategy):
    name = "mine"
    summary = "does nothing"
    def stages(self, ctx):
        return []

"""
GOOD = """
from sftbench.api import Strategy, hookimpl

class Good(Strategy):
    name = "good-one"
    def stages(self, ctx):
        return []

@hookimpl
def sftbench_strategies():
    return [Good]
"""


def returning(expression: str) -> str:
    return f"{HEAD}@hookimpl\ndef sftbench_strategies():\n    return {expression}\n"


def strategy(name: str, summary: str = "") -> str:
    return GOOD.replace("good-one", name).replace(
        "def stages", f"summary = '{summary}'\n    def stages"
    )
