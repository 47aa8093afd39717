# Prometheus and Alertmanager from Debian packages, for machines without access to a registry.
ARG BASE
FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends prometheus prometheus-alertmanager \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /alertmanager && chown 65534:65534 /alertmanager && rm -rf /prometheus && mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
