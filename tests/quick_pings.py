"""The web process, with a ping to each WebSocket every second instead of every 25: for a test that waits for them."""

from wsgi import app

app.config["SOCK_SERVER_OPTIONS"]["ping_interval"] = 1
