"""The race: Parley and its peers, with one load generator and one fake model. docs/performance.md explains it."""
