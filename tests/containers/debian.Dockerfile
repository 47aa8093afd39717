# Prometheus, Alertmanager and VictoriaMetrics from Debian packages, for machines without access to a registry. Health checks
# use the wget of BusyBox, as in the published images.
ARG BASE
FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends busybox prometheus prometheus-alertmanager victoria-metrics \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /bin/busybox /usr/local/bin/wget \
 && for folder in /alertmanager /prometheus /storage; do rm -rf "$folder" && mkdir "$folder" && chown 65534:65534 "$folder"; done
USER 65534:65534
