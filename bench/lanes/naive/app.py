"""The usual web process: Flask rings Celery, and each event stream listens on a connection of its own to Redis."""

import json
import os
from collections.abc import Iterator

import redis
from flask import Flask, Response, request

from tasks import answer

app = Flask(__name__)
# By default the 101st stream would be refused, and each one end after five seconds without a piece.
unlimited = {"max_connections": 20_000, "socket_timeout": None}
pool = redis.ConnectionPool.from_url(os.environ["REDIS_URL"], decode_responses=True, **unlimited)
client = redis.Redis(connection_pool=pool)


@app.post("/chat/<conversation_id>")
def send(conversation_id: str):
    task = answer.delay(conversation_id, request.get_json()["text"])
    return {"task_id": task.id}, 202


@app.get("/stream/<conversation_id>")
def stream(conversation_id: str):
    def events() -> Iterator[str]:
        pubsub = client.pubsub()
        pubsub.subscribe(f"chat:{conversation_id}")
        try:
            for message in pubsub.listen():
                if message["type"] == "subscribe":
                    yield ": connected\n\n"
                else:
                    event = json.loads(message["data"])
                    yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        finally:
            pubsub.close()

    return Response(events(), mimetype="text/event-stream")
