"""Encoders of texts, with their tokenizers."""
