"""The model: the client that the worker uses, the server that runs GPT-J, and the tiny checkpoint."""
