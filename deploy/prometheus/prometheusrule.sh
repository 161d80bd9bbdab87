#!/usr/bin/env bash
# Writes the rules of alerts.yml and slo.yml as a PrometheusRule for Kubernetes, which a kustomization cannot make of
# them. `prometheusrule.sh check` fails when the file in the component is another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
component=../k8s/components/monitoring/rules.yaml

rule() {
    cat <<'EOF'
# Made by deploy/prometheus/prometheusrule.sh from the rules beside it. Change those.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: reframe
  labels: { release: kube-prometheus-stack }
spec:
  groups:
EOF
    for file in alerts.yml slo.yml; do
        sed '1,/^groups:$/d; s/^./  &/' "$file"
    done
}

if [ "${1:-}" = check ]; then
    diff "$component" <(rule) || {
        echo "deploy/prometheus/prometheusrule.sh writes another $component" >&2
        exit 1
    }
else
    rule >"$component"
fi
