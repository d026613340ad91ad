"""The handbook's worker: one message at a time, from the stream to the model and back, in one process."""

import asyncio
import json
import os

import requests
from store import Cache, Stream, create_connection, create_rejson_connection, message


def query(prompt: str) -> str:
    payload = {"inputs": prompt, "parameters": {"return_full_text": False, "use_cache": False, "max_new_tokens": 25}}
    response = requests.request("POST", os.environ["MODEL_URL"], data=json.dumps(payload), timeout=60)
    return response.json()[0]["generated_text"]


async def main() -> None:
    cache = Cache(create_rejson_connection())
    stream = Stream(await create_connection())
    while True:
        for _, messages in await stream.consume("message_channel", count=1):
            for message_id, fields in messages:
                token, text = next((k.decode(), v.decode()) for k, v in fields.items())
                cache.add(token, "human", message(text))
                history = cache.history(token)
                reply = message(query(" ".join(each["msg"] for each in history["messages"][-4:])))
                await stream.add({token: str(reply)}, "response_channel")
                cache.add(token, "bot", reply)
                await stream.delete("message_channel", message_id)


if __name__ == "__main__":
    asyncio.run(main())
