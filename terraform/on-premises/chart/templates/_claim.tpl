{{/* A claim that stays: (dict "root" $ "name" NAME "of" VALUES), with `size` and `storageClass` in the values. */}}
{{- define "lading.newClaim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  labels:
    {{- include "lading.selector" .root | nindent 4 }}
  annotations:
    # `helm uninstall` leaves the registry's content, and its backup.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with .of.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .of.size }}
{{- end }}
