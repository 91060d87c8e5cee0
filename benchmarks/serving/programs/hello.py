"""The smallest FastAPI response, on uvicorn configured as in the service: the baseline of all comparisons."""

import os

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["BENCHMARK_PORT"]), log_config=None, access_log=False)
