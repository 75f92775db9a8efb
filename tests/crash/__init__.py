"""Rotations that are killed or disturbed at every step. A package, so that its scene ends with its last test."""
