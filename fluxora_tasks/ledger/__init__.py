"""What died, kept: the SQL ledger, the recorder that fills it, and the replay that empties it.

Nothing a worker imports may import from here what needs SQLAlchemy.
"""
