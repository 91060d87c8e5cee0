"""A minimal hand-written server: a FastAPI route, orjson and ONNX Runtime, without checks, class names or versions."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response, UploadFile
from PIL import Image

from benchmarks.serving.programs.graph import Graph

GRAPHS = {path.stem: Graph(path) for path in Path(os.environ["BENCHMARK_GRAPHS"]).glob("*.onnx")}
app = FastAPI()


@app.post("/json/{name}")
async def predict_json(name: str, request: Request) -> Response:
    graph = GRAPHS[name]
    values = np.array(orjson.loads(await request.body())["inputs"], graph.type)
    answer = {"probabilities": graph.probabilities(values)}
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@app.post("/binary/{name}")
async def predict_binary(name: str, request: Request) -> Response:
    graph = GRAPHS[name]
    values = np.frombuffer(await request.body(), graph.type)
    return Response(graph.probabilities(values).tobytes(), media_type="application/octet-stream")


@app.post("/image/{name}")
async def predict_image(name: str, files: UploadFile) -> Response:
    graph = GRAPHS[name]
    pixels = np.asarray(Image.open(BytesIO(await files.read())).convert("RGB"))
    answer = {"probabilities": graph.probabilities(pixels)}
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["BENCHMARK_PORT"]), log_config=None, access_log=False)
