"""The core that the web process and the worker share: conversations, turns, events and the scripts in Redis."""

VERSION = "0.1.0"
