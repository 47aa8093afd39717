# The exporter, the notification log and the markdown dashboard: one image. It runs as nobody in particular, with a
# read-only root; models, data and datasets are volumes below /starlight.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
# For networks with their own package index or certificates: pip reads its settings from the environment.
ARG PIP_INDEX_URL
ARG PIP_CERT
WORKDIR /build
RUN python3 -m venv /opt/venv
COPY requirements.lock ./
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
 && /opt/venv/bin/python -m pip uninstall --yes pip setuptools

FROM ${BASE}
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="starlight-observability" \
      org.opencontainers.image.description="Evaluates Starlight steganalysis detectors and tells Prometheus how good they are" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PYTHONPATH=/opt/starlight/exporter:/opt/starlight PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH \
    STARLIGHT_REVISION=${REVISION}
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/starlight
COPY exporter exporter
COPY stack stack
COPY scripts scripts
COPY prometheus prometheus
COPY alerting alerting
# Named volumes take over the owner of the folder that they cover.
RUN mkdir -p /starlight/config /starlight/data /starlight/datasets /starlight/documents /starlight/models \
             /starlight/results /starlight/secrets \
 && chown -R 10001:10001 /starlight
USER 10001:10001
WORKDIR /starlight
EXPOSE 9877
VOLUME ["/starlight/data", "/starlight/results"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9877/-/healthy', timeout=4)"]
# Inside of a container all interfaces; docker-compose.yml publishes the port on loopback alone.
CMD ["python3", "-m", "starlight_exporter", "--config.file=/starlight/starlight.yml", "--web.listen-address=0.0.0.0:9877", "--web.enable-lifecycle"]
