"""Thin translations of operations for people and programs."""
