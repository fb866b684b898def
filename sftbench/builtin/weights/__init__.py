"""The built-in weights: files of weights in packages, and the names of their tensors."""
