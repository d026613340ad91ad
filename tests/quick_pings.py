"""The web process, with a ping to each client every second instead of now and then: for a test that waits for them."""

from app import socket_api, stream
from wsgi import app

app.config["SOCK_SERVER_OPTIONS"]["ping_interval"] = 1
socket_api.PING_S = stream.PING_S = 1
