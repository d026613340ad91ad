"""The handbook's server: main.py and src/routes/chat.py. REPAIRED=1 lets a socket take only its own replies."""

import os
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect, WebSocketException, status
from redis.commands.json.path import Path
from store import Stream, create_connection, create_rejson_connection, message

REPAIRED = os.environ.get("REPAIRED") == "1"
app = FastAPI()


@app.post("/token")
async def token_generator(name: str):
    if name == "":
        raise HTTPException(status_code=400, detail={"loc": "name", "msg": "Enter a valid name"})
    token = str(uuid4())
    session = {"token": token, "messages": [], "name": name, "session_start": message("")["timestamp"]}
    create_rejson_connection().set(token, Path.root_path(), session)
    redis_client = await create_connection()
    await redis_client.expire(token, 3600)
    await redis_client.aclose()
    return session


async def get_token(token: str) -> str:
    redis_client = await create_connection()
    known = await redis_client.exists(token)
    await redis_client.aclose()
    if not known:
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION, "Session not authenticated or expired token")
    return token


@app.websocket("/chat")
async def websocket_endpoint(websocket: WebSocket, token: str = Depends(get_token)):
    await websocket.accept()
    redis_client = await create_connection()
    stream = Stream(redis_client)
    try:
        await (answer_repaired if REPAIRED else answer)(websocket, token, stream)
    except WebSocketDisconnect:
        await redis_client.aclose()


async def answer(websocket: WebSocket, token: str, stream: Stream) -> None:
    while True:
        data = await websocket.receive_text()
        await stream.add({token: data}, "message_channel")
        response = await stream.consume("response_channel", count=None)
        for _, messages in response:
            for message_id, fields in messages:
                response_token, reply = next((k.decode(), v.decode()) for k, v in fields.items())
                if token == response_token:
                    await websocket.send_text(reply)
                # Whoever reads first deletes, also what belongs to others.
                await stream.delete("response_channel", message_id)


async def answer_repaired(websocket: WebSocket, token: str, stream: Stream) -> None:
    while True:
        data = await websocket.receive_text()
        after = await stream.add({token: data}, "message_channel")
        answered = False
        while not answered:
            # Ids are times of the same clock, so a reply's is greater than its message's.
            for _, messages in await stream.consume("response_channel", None, after):
                for after, fields in messages:
                    if token.encode() in fields:
                        await stream.delete("response_channel", after)
                        await websocket.send_text(fields[token.encode()].decode())
                        answered = True
