# One image for every part of Nightshift: `nightshift api`, `worker`, `callbacks`, or `up` for all of it in one container.
# compose.yaml builds and runs it. Any image with Python 3.11 or newer, its venv module and glibc will do as a base:
#
#     docker build --build-arg PYTHON_IMAGE=python:3.13-slim -t nightshift .
ARG PYTHON_IMAGE=python:3.12-slim

# What is pinned, in a layer of its own: it is large and seldom changes. Wheels only: one of them brings the Claude command
# line, and there is no compiler here.
FROM ${PYTHON_IMAGE} AS pinned
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python3 -m venv /opt/nightshift
COPY requirements.lock /
RUN /opt/nightshift/bin/pip install --require-hashes --only-binary :all: -r /requirements.lock

FROM pinned AS code
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY api api
COPY workers workers
COPY ops ops
COPY simulator simulator
RUN /opt/nightshift/bin/pip install --no-deps --no-build-isolation --no-index --prefix /code .

FROM ${PYTHON_IMAGE}
# A number of its own, so that a mounted directory can be given to it. Nobody can log in as it.
RUN groupadd --gid 10001 nightshift \
    && useradd --uid 10001 --gid nightshift --create-home --shell /usr/sbin/nologin nightshift \
    && install --directory --owner nightshift --group nightshift --mode 0700 /data /data/batches
COPY --from=pinned /opt/nightshift /opt/nightshift
COPY --from=code /code /opt/nightshift
# In a container, the network is outside: the API listens to it, and refuses to do so without NIGHTSHIFT_API_KEYS.
ENV PATH=/opt/nightshift/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NIGHTSHIFT_DATA_DIR=/data \
    NIGHTSHIFT_HOST=0.0.0.0
USER nightshift
WORKDIR /home/nightshift
RUN nightshift version
EXPOSE 8204
ENTRYPOINT ["nightshift"]
CMD ["up"]
