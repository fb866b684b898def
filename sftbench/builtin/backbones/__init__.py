"""Backbones: networks of timm and torchvision without their heads."""
