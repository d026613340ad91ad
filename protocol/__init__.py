"""The turn protocol as an explicit-state model: docs/architecture.md tells what it covers."""
