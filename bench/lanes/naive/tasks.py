"""The usual worker: a Celery task keeps the history, calls the model and publishes each piece."""

import json
import os

import redis
import requests
from celery import Celery

celery = Celery("tasks", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def publish(conversation_id: str, **event: str) -> None:
    client.publish(f"chat:{conversation_id}", json.dumps(event))


@celery.task
def answer(conversation_id: str, text: str) -> str:
    key = f"history:{conversation_id}"
    client.rpush(key, json.dumps({"role": "Human", "text": text}))
    history = [json.loads(message) for message in client.lrange(key, 0, -1)]
    prompt = "\n".join(f"{message['role']}: {message['text']}" for message in history[-4:]) + "\nBot:"
    reply = ""
    body = {"inputs": prompt, "parameters": {"max_new_tokens": 256}, "stream": True}
    with requests.post(os.environ["MODEL_URL"], json=body, stream=True, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith(b"data:"):
                token = json.loads(line[5:])["token"]
                if not token["special"]:
                    reply += token["text"]
                    publish(conversation_id, type="delta", text=token["text"])
    client.rpush(key, json.dumps({"role": "Bot", "text": reply}))
    publish(conversation_id, type="completed")
    return reply
