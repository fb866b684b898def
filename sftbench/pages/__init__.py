"""HTML pages that stand alone: blocks to put on them, plots, and the one function that renders."""
