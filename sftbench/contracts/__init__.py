"""The contracts between sftbench and its plugins; `sftbench.api` is the door to them."""
