"""The fault matrix: the real processes, faults of every kind, clients that behave like real ones, and a checker."""
