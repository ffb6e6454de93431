"""Several worker processes behind one front: see ``docs/decisions/0013-workers.md``."""
