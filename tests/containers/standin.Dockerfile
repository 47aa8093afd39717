# Prometheus and Alertmanager from Debian packages, where no registry can be reached for the published images.
ARG BASE
FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends prometheus prometheus-alertmanager \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /alertmanager && chown 65534:65534 /alertmanager && rm -rf /prometheus && mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
