{{/* What all pods have in common. PodSecurity: restricted. */}}
{{- define "starlight.podSettings" -}}
serviceAccountName: {{ include "starlight.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* With the containers that fill models and datasets. */}}
{{- define "starlight.pod" -}}
{{ include "starlight.podSettings" . }}
{{- with .Values.initContainers }}
initContainers:
{{- range . }}
{{- $defaults := include "starlight.initDefaults" $ | fromYaml }}
  - {{- toYaml (mergeOverwrite $defaults .) | nindent 4 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "starlight.container" -}}
image: {{ include "starlight.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* A container that reads models or datasets, with the credentials for it. */}}
{{- define "starlight.readingContainer" -}}
{{ include "starlight.container" . }}
{{- with .Values.envFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "starlight.initDefaults" -}}
{{ include "starlight.readingContainer" . }}
resources: {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: models, mountPath: /srv/starlight/models}
  - {name: datasets, mountPath: /srv/starlight/datasets}
{{- end -}}

{{/* The mounts of exporter and gate: configuration, models and datasets, and files of running evaluations. */}}
{{- define "starlight.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/starlight, readOnly: true}
- {name: models, mountPath: /srv/starlight/models, readOnly: true}
- {name: datasets, mountPath: /srv/starlight/datasets, readOnly: true}
{{- end -}}

{{- define "starlight.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: config
  configMap: {name: {{ include "starlight.fullname" . }}}
{{ include "starlight.volume" (dict "root" . "name" "models") }}
{{ include "starlight.volume" (dict "root" . "name" "datasets") }}
{{- end -}}

{{- define "starlight.volume" -}}
{{- $source := index .root.Values.volumes .name -}}
{{- if not $source -}}
{{- fail (printf "\n\nvolumes.%s is required: a Kubernetes volume source, such as {persistentVolumeClaim: {claimName: %s}}.\n" .name .name) -}}
{{- end -}}
- name: {{ .name }}
  {{- toYaml $source | nindent 2 }}
{{- end -}}

{{/* Mount and volume of the certificates of the Dask cluster. */}}
{{- define "starlight.daskTlsMount" -}}
{{- if and .Values.dask.enabled .Values.dask.tlsSecret }}
- {name: dask-tls, mountPath: /etc/starlight-dask, readOnly: true}
{{- end }}
{{- end -}}

{{- define "starlight.daskTlsVolume" -}}
{{- if and .Values.dask.enabled .Values.dask.tlsSecret }}
- name: dask-tls
  secret: {secretName: {{ .Values.dask.tlsSecret }}, defaultMode: 0440}
{{- end }}
{{- end -}}
