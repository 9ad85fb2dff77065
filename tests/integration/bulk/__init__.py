"""Bulk operations on real databases and brokers."""
