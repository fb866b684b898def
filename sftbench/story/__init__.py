"""The story of one group or one cell: what happened when, what suffered, and what to try next.

Every number is computed from records and kept predictions, without torch.

    outputs.py      kept predictions, as far as classes can be read from them
    curves.py       losses, metric and rate while it trained
    classes.py      recall by class, beside the baseline's and that of frozen features
    confusion.py    which class was taken for which
    mistakes.py     test examples that were wrong with most confidence
    calibration.py  confidence against accuracy, before and after temperature scaling
    readings.py     what a cell measured beside the thresholds of the reasons
    measured.py     each criterion of a group: what was found, and by how much it is met
    ends.py         cells that did not end well, and what was known of them
    facts.py        what rules of advice may know
    alternatives.py advice that names other strategies
    settings.py     advice that keeps the strategy
    advice.py       what to try next, each with the records that say so
    tell.py         puts the parts together
    words.py        words and numbers that text and page share
    text.py         all of it as text
    page.py         all of it as one HTML file
"""
