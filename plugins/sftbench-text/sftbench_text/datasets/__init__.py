"""Sets of labelled texts: published ones out of packages, a person's own, and a hub's."""
