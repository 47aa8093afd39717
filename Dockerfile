# One image for exporter, notification log and markdown dashboard. It runs as an unprivileged user with a read-only root;
# models, data and datasets are volumes in /starlight.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
# For networks with their own package index or certificates: pip reads these variables.
ARG PIP_INDEX_URL
ARG PIP_CERT
# requirements-cluster.lock adds the extras dask, parquet, remote and s3.
ARG LOCK=requirements.lock
WORKDIR /build
RUN python3 -m venv /opt/venv
COPY requirements.lock ./
COPY requirements-cluster.lock ./
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r ${LOCK}
COPY pyproject.toml ./
COPY README.md ./
COPY LICENSE ./
COPY alerting alerting
COPY deploy deploy
COPY exporter exporter
COPY grafana grafana
COPY prometheus prometheus
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps . \
 && /opt/venv/bin/python -m pip uninstall --yes pip setuptools

FROM ${BASE}
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="starlight-observability" \
      org.opencontainers.image.description="Evaluates Starlight steganalysis models and exports their metrics to Prometheus" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH STARLIGHT_REVISION=${REVISION}
COPY --from=build /opt/venv /opt/venv
# Not part of the wheel: the services `setup` and `notifications` of docker-compose.yml.
WORKDIR /opt/starlight
COPY scripts scripts
COPY stack stack
# A named volume takes the owner of the folder that it is mounted on.
RUN mkdir -p /starlight/config /starlight/data /starlight/datasets /starlight/documents /starlight/generated \
             /starlight/models /starlight/results /starlight/secrets \
 && chown -R 10001:10001 /starlight
USER 10001:10001
WORKDIR /starlight
EXPOSE 9877
VOLUME ["/starlight/data", "/starlight/results"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["python3", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9877/-/healthy', timeout=4)"]
# `docker run IMAGE gate …` runs `starlight gate …`; anything else is a program with its arguments.
ENTRYPOINT ["/opt/starlight/stack/entrypoint"]
# Reads config/starlight.yml. All interfaces of the container; docker-compose.yml publishes the port only on loopback.
CMD ["starlight-exporter", "--web.listen-address=0.0.0.0:9877", "--web.allowed-hosts=exporter"]
