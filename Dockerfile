# One image for nodes, workers and every `muster` command; programs in it may import `muster_client`.
#
# Every package is one that requirements.lock names with its hash. No instruction needs BuildKit.
ARG PYTHON=python:3.13-slim

# The module in C is compiled here; what compiles it stays here.
FROM ${PYTHON} AS build
RUN command -v cc > /dev/null || { apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gcc libc6-dev > /dev/null; }
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/muster
WORKDIR /src
COPY requirements.lock ./
RUN pip --python /opt/muster/bin/python install --quiet --require-hashes -r requirements.lock
COPY pyproject.toml hatch_build.py README.md LICENSE config.json ./
COPY muster muster
COPY service service
COPY workers workers
COPY clients/python clients/python
RUN MUSTER_NATIVE=1 pip --python /opt/muster/bin/python install --quiet --no-deps --no-build-isolation . ./clients/python

FROM ${PYTHON}
# A mounted volume that is new takes over the owner of the folder it covers: /archive is muster's.
RUN groupadd --gid 10001 muster \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin muster \
    && install -d -o muster -g muster -m 0750 /archive
COPY --from=build /opt/muster /opt/muster
# A node listens on every address of its container; without auth.mode token it refuses to.
ENV PATH=/opt/muster/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MUSTER_NODE__HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 5000
# Of a node, the default command. Alive and not ready: who starts containers again looks here, and a node
# that waits for Redis must not be started again.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-ISc", "import http.client, os; node = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MUSTER_NODE__PORT', 5000)), timeout=2); node.request('GET', '/healthz'); raise SystemExit(node.getresponse().status != 200)"]
ENTRYPOINT ["muster"]
CMD ["node"]
