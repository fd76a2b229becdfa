{{- define "lading.name" -}}
{{- if contains "lading" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-lading" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "lading.selector" -}}
app.kubernetes.io/name: lading
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lading.labels" -}}
{{ include "lading.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "lading.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "lading.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "lading.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "lading.claim" -}}
{{- .Values.stores.local.existingClaim | default (include "lading.name" .) }}
{{- end }}

{{- define "lading.host" -}}
{{- (urlParse .Values.url).hostname }}
{{- end }}

{{- define "lading.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* The settings of the registry, and of the commands that work on its stores. */}}
{{- define "lading.env" -}}
{{- if eq .Values.stores.kind "google" }}
- { name: LADING_BLOBS, value: {{ printf "gs://%s" .Values.stores.google.bucket | quote }} }
- { name: LADING_METADATA, value: {{ printf "firestore://%s/%s" .Values.stores.google.project .Values.stores.google.database | quote }} }
{{- if .Values.stores.google.hmacKey.existingSecret }}
- { name: LADING_HMAC_KEY, value: /etc/lading/hmac/{{ .Values.stores.google.hmacKey.key }} }
{{- end }}
{{- else }}
- { name: LADING_DATA, value: /data/registry }
{{- end }}
- { name: LADING_ADDRESS, value: "0.0.0.0:5000" }
- { name: LADING_URL, value: {{ .Values.url | quote }} }
- { name: LADING_TRUSTED_HOPS, value: {{ .Values.trustedHops | quote }} }
- { name: LADING_ACCESS, value: {{ .Values.access.mode | quote }} }
- { name: LADING_LOG, value: json }
{{- with .Values.access.public }}
- { name: LADING_PUBLIC, value: {{ join "," . | quote }} }
{{- end }}
{{- if .Values.access.users.existingSecret }}
- { name: LADING_USERS, value: /etc/lading/users/{{ .Values.access.users.usersKey }} }
- { name: LADING_GRANTS, value: /etc/lading/users/{{ .Values.access.users.grantsKey }} }
{{- end }}
{{- if .Values.keys.existingSecret }}
- { name: LADING_KEYS, value: file:///etc/lading/keys/{{ .Values.keys.key }} }
{{- else if .Values.keys.secretManager }}
- { name: LADING_KEYS, value: {{ .Values.keys.secretManager | quote }} }
{{- end }}
{{- if .Values.tls.existingSecret }}
- { name: LADING_TLS_CERT, value: /etc/lading/tls/tls.crt }
- { name: LADING_TLS_KEY, value: /etc/lading/tls/tls.key }
{{- end }}
{{- if .Values.config }}
- { name: LADING_CONFIG, value: /etc/lading/config/lading.toml }
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lading.mounts" -}}
- { name: data, mountPath: /data }
{{- if .Values.config }}
- { name: config, mountPath: /etc/lading/config, readOnly: true }
{{- end }}
{{- if .Values.access.users.existingSecret }}
- { name: users, mountPath: /etc/lading/users, readOnly: true }
{{- end }}
{{- if .Values.keys.existingSecret }}
- { name: keys, mountPath: /etc/lading/keys, readOnly: true }
{{- end }}
{{- if .Values.tls.existingSecret }}
- { name: tls, mountPath: /etc/lading/tls, readOnly: true }
{{- end }}
{{- if and (eq .Values.stores.kind "google") .Values.stores.google.hmacKey.existingSecret }}
- { name: hmac, mountPath: /etc/lading/hmac, readOnly: true }
{{- end }}
{{- end }}

{{- define "lading.volumes" -}}
{{- if eq .Values.stores.kind "google" }}
- { name: data, emptyDir: { sizeLimit: 64Mi } }
{{- else }}
- { name: data, persistentVolumeClaim: { claimName: {{ include "lading.claim" . }} } }
{{- end }}
{{- if .Values.config }}
- { name: config, configMap: { name: {{ include "lading.name" . }} } }
{{- end }}
{{- with .Values.access.users.existingSecret }}
- { name: users, secret: { secretName: {{ . }} } }
{{- end }}
{{- with .Values.keys.existingSecret }}
- { name: keys, secret: { secretName: {{ . }} } }
{{- end }}
{{- with .Values.tls.existingSecret }}
- { name: tls, secret: { secretName: {{ . }} } }
{{- end }}
{{- if and (eq .Values.stores.kind "google") .Values.stores.google.hmacKey.existingSecret }}
- { name: hmac, secret: { secretName: {{ .Values.stores.google.hmacKey.existingSecret }} } }
{{- end }}
{{- end }}

{{- define "lading.pod" -}}
serviceAccountName: {{ include "lading.serviceAccount" . }}
automountServiceAccountToken: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - { name: {{ . }} }
  {{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "lading.affinity" -}}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
