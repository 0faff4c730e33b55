{{- define "nightshift.name" -}}
{{- if contains "nightshift" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-nightshift" (.Release.Name | trunc 29 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "nightshift.selector" -}}
app.kubernetes.io/name: nightshift
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nightshift.labels" -}}
{{ include "nightshift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "nightshift.secret" -}}
{{ .Values.secrets.existing | default (include "nightshift.name" .) }}
{{- end }}

{{- define "nightshift.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "nightshift.claim" -}}
{{ .Values.storage.existingClaim | default (printf "%s-batches" (include "nightshift.name" .)) }}
{{- end }}

{{- define "nightshift.isShared" -}}
{{ if or .Values.storage.url (eq .Values.storage.accessMode "ReadWriteMany") }}yes{{ end }}
{{- end }}

{{/* What holds for each pod. */}}
{{- define "nightshift.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "nightshift.container" -}}
image: {{ include "nightshift.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* What all parts get. Of the secrets each gets what it needs: the API the keys, the callbacks what signs them, the workers Claude's login. */}}
{{- define "nightshift.env" -}}
{{- $secret := include "nightshift.secret" . -}}
{{- if .Values.redis.enabled -}}
- name: REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: redis-password}}
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "nightshift.name" . }}-redis:6379/0
{{- else }}
- name: REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: redis-url}}
{{- end }}
{{- with .Values.storage.url }}
- name: NIGHTSHIFT_STORAGE
  value: {{ . | quote }}
{{- end }}
{{- $settings := .Values.settings }}
{{- if and .Values.keda.enabled (eq (int .Values.keda.min) 0) }}
{{- /* Clients wait for the first pod. */}}
{{- $settings = merge (dict) $settings (dict "NIGHTSHIFT_NO_WORKER_GRACE_SECONDS" 120) }}
{{- end }}
{{- range $name, $value := $settings }}
- name: {{ $name }}
  value: {{ if kindIs "float64" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}

{{/* Secrets whose keys are variables: what is named here, and settingsSecret. */}}
{{- define "nightshift.envFrom" -}}
{{- range without (list .Values.settingsSecret .first .second) "" nil }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{/* A process that this pod started has told Redis within the last minute that it lives. Without Redis nobody can say so: they wait for it. */}}
{{- define "nightshift.beats" -}}
exec:
  command:
    - python
    - -c
    - |
      import os, socket, sys
      from app.connection import AWAY, connect, texts
      mine = "rq:worker:" + socket.gethostname().split(".")[0] + "-"
      try:
          client = connect(os.environ["REDIS_URL"], timeout_seconds=3)
          keys = texts(client.smembers("rq:workers"))
          sys.exit(not any(key.startswith(mine) and client.exists(key) for key in keys))
      except AWAY:
          pass
periodSeconds: 30
timeoutSeconds: 10
failureThreshold: 4
{{- end }}

{{/* What every part asks: names and Redis. */}}
{{- define "nightshift.egress" -}}
# DNS
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
# Redis
{{- if .Values.redis.enabled -}}
- to:
    - podSelector:
        matchLabels: {{- include "nightshift.selector" . | nindent 10 }}
          app.kubernetes.io/component: redis
  ports:
    - {protocol: TCP, port: 6379}
{{- else }}
- ports:
    {{- range .Values.networkPolicy.redisPorts }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end }}

{{/* What the API and the workers have of the storage. */}}
{{- define "nightshift.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: data, mountPath: /data}
{{- if and (not .Values.storage.url) (or .isApi (include "nightshift.isShared" .)) }}
- {name: batches, mountPath: /data/batches}
{{- end }}
{{- end }}

{{- define "nightshift.batches" -}}
{{- if and (not .Values.storage.url) (or .isApi (include "nightshift.isShared" .)) }}
- name: batches
  persistentVolumeClaim: {claimName: {{ include "nightshift.claim" . }}}
{{- end }}
{{- end }}

{{/* Claude, images, receivers of callbacks and object stores, wherever those are in public. */}}
{{- define "nightshift.public" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: {{- toYaml .Values.networkPolicy.privateRanges | nindent 10 }}
    - ipBlock:
        cidr: ::/0
        except: [fc00::/7, fe80::/10]
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
