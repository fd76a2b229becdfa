{{/*
A command on the stores, at times of a schedule: (dict "root" $ "name" NAME "schedule" SCHEDULE "args" ARGUMENTS), and
"backup" true where it writes a backup. Kubernetes appends 11 characters to the name, and allows 63.
*/}}
{{- define "lading.job" -}}
{{- $label := printf "lading-%s" .name -}}
{{- with .root -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "lading.name" . | trunc 41 | trimSuffix "-" }}-{{ $.name }}
  labels:
    {{- include "lading.labels" . | nindent 4 }}
spec:
  schedule: {{ $.schedule | quote }}
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 1
      template:
        metadata:
          labels:
            app.kubernetes.io/name: {{ $label }}
            app.kubernetes.io/instance: {{ .Release.Name }}
        spec:
          {{- include "lading.pod" . | nindent 10 }}
          {{- if eq .Values.stores.kind "local" }}
          # A ReadWriteOnce volume belongs to one node, and SQLite's shared memory to one kernel: where the registry runs.
          affinity:
            podAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
                - topologyKey: kubernetes.io/hostname
                  labelSelector:
                    matchLabels:
                      {{- include "lading.selector" . | nindent 22 }}
          {{- else }}
          {{- include "lading.affinity" . | nindent 10 }}
          {{- end }}
          restartPolicy: Never
          containers:
            - name: {{ $.name }}
              image: {{ include "lading.image" . | quote }}
              imagePullPolicy: {{ .Values.image.pullPolicy }}
              args: {{ $.args | toJson }}
              env:
                {{- include "lading.env" . | trim | nindent 16 }}
              securityContext:
                {{- include "lading.containerSecurity" . | nindent 16 }}
              resources:
                {{- toYaml .Values.resources | nindent 16 }}
              volumeMounts:
                {{- include "lading.mounts" . | nindent 16 }}
                {{- if $.backup }}
                - { name: backup, mountPath: /backup }
                {{- end }}
          volumes:
            {{- include "lading.volumes" . | trim | nindent 12 }}
            {{- if $.backup }}
            - { name: backup, persistentVolumeClaim: { claimName: {{ include "lading.backupClaim" . }} } }
            {{- end }}
{{- end }}
{{- end }}

{{- define "lading.backupClaim" -}}
{{- .Values.backup.existingClaim | default (printf "%s-backup" (include "lading.name" .)) }}
{{- end }}
