"""The consumer: the whole history comes in, the model is called here, the text so far goes out at each step."""

import asyncio
import json
import os

import aiohttp
from channels.generic.websocket import AsyncWebsocketConsumer

# As published 0.1, so that the text seems to be typed.
PIECE_S = float(os.environ.get("PIECE_S", "0"))


class ChatConsumer(AsyncWebsocketConsumer):
    model: aiohttp.ClientSession | None = None

    async def connect(self) -> None:
        await self.accept()
        if not self.scope["user"].is_authenticated:
            await self.close(code=4001)

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        history = json.loads(text_data)["history"]
        names = {"user": "Human", "ai": "Bot"}
        prompt = "\n".join(f"{names[entry['role']]}: {entry['content']}" for entry in history[-4:]) + "\nBot:"
        text = ""
        async for piece in self.pieces(prompt):
            text += piece
            if PIECE_S:
                await asyncio.sleep(PIECE_S)
            await self.send(text_data=json.dumps({"message": text}))

    async def pieces(self, prompt: str):
        if not ChatConsumer.model:
            ChatConsumer.model = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        body = {"inputs": prompt, "parameters": {"max_new_tokens": 256}, "stream": True}
        async with ChatConsumer.model.post(os.environ["MODEL_URL"], json=body) as response:
            async for line in response.content:
                if line.startswith(b"data:"):
                    token = json.loads(line[5:])["token"]
                    if not token["special"]:
                        yield token["text"]
