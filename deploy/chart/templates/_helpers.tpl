{{/* An image, of a version where it names none. */}}
{{- define "reframe.image" -}}
{{- $image := index . 0 -}}
{{- regexMatch "[:@][^/]*$" $image | ternary $image (printf "%s:%s" $image (index . 1)) -}}
{{- end -}}
{{/* A container's variables: `own`, as YAML, without those that `values` has, and then these. */}}
{{- define "reframe.env" -}}
{{- $values := .values -}}
{{- $env := list -}}
{{- range fromYamlArray .own -}}
{{- if not (hasKey $values .name) -}}
{{- $env = append $env . -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $values -}}
{{- $env = append $env (dict "name" $name "value" $value) -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}
