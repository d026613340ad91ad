"""The race: Parley and its peers on one machine, with one load generator and one fake model. See docs/performance.md."""
