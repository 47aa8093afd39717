{{- define "starlight.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $fullname := .Values.fullnameOverride | default $default | trunc 40 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "\n\n%s cannot be the name of a Service: it must begin with a letter and contain only a-z, 0-9 and \"-\". Set fullnameOverride.\n" $fullname) -}}
{{- end -}}
{{- $fullname -}}
{{- end -}}

{{/* Labels of selectors. They are immutable: never add one. */}}
{{- define "starlight.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "starlight.labels" -}}
{{ include "starlight.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "starlight.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default (printf "%s%s" .Chart.AppVersion (ternary "-cluster" "" .Values.dask.enabled))) }}
{{- end -}}

{{/* Path of web.externalUrl, which is the prefix of all endpoints; empty without one. */}}
{{- define "starlight.prefix" -}}
{{- (urlParse .Values.web.externalUrl).path | trimSuffix "/" -}}
{{- end -}}

{{- define "starlight.claim" -}}
{{ .Values.storage.existingClaim | default (printf "%s-data" (include "starlight.fullname" .)) }}
{{- end -}}

{{/* Names of the service inside the cluster, and those of web.allowedHosts. */}}
{{- define "starlight.hosts" -}}
{{- $name := include "starlight.fullname" . -}}
{{- $namespaced := printf "%s.%s" $name .Release.Namespace -}}
{{- concat (list $name $namespaced (printf "%s.svc" $namespaced) (printf "%s.svc.cluster.local" $namespaced)) .Values.web.allowedHosts | join "," -}}
{{- end -}}

{{/* Address of the Dask scheduler. */}}
{{- define "starlight.scheduler" -}}
{{ ternary "tls" "tcp" (not (empty .Values.dask.tlsSecret)) }}://{{ include "starlight.fullname" . }}-dask-scheduler:8786
{{- end -}}

{{/* The configuration of the exporter, with the engine of the chart. */}}
{{- define "starlight.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.dask.enabled -}}
{{- $engine := dict "kind" "dask" "scheduler" (include "starlight.scheduler" .) -}}
{{- if .Values.dask.tlsSecret -}}
{{- $_ := set $engine "tls" (dict "ca" "/etc/starlight-dask/ca.crt" "certificate" "/etc/starlight-dask/tls.crt" "key" "/etc/starlight-dask/tls.key") -}}
{{- end -}}
{{- $_ := set $config "engine" $engine -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Bytes of a quantity of Kubernetes (5Gi), a size of the configuration (4GiB), or a number. */}}
{{- define "starlight.bytes" -}}
{{- if kindIs "string" . -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $unit := trimSuffix "B" (trimPrefix $number .) -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "K" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- mulf (float64 $number) (get $factors $unit | default 1.0) -}}
{{- else -}}
{{- float64 . -}}
{{- end -}}
{{- end -}}

{{/* Name of the Job of the gate. A Job is immutable: other inputs are another Job, and Helm removes the one before. */}}
{{- define "starlight.gateJob" -}}
{{- $inputs := list (include "starlight.gate" .) (include "starlight.config" .) | toJson -}}
{{ include "starlight.fullname" . }}-gate-{{ sha256sum $inputs | trunc 8 }}
{{- end -}}
