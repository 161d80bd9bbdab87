"""What of a pod the Pod Security Standards do not allow, as of Kubernetes 1.35
(https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""

CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}


def containers(spec):
    return [each for kind in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(kind, [])]


def contexts(spec):
    """The pod's security context, and each container's."""
    return [each.get("securityContext", {}) for each in [spec, *containers(spec)]]


def handlers(container):
    """What the kubelet calls: probes and hooks."""
    yield from (container[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe") if probe in container)
    yield from container.get("lifecycle", {}).values()


def baseline(template):
    """The fields that the level `baseline` does not allow."""
    spec = template["spec"]
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield "hostPath"
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for annotation, profile in template.get("metadata", {}).get("annotations", {}).items():
        local = profile == "runtime/default" or profile.startswith("localhost/")
        if annotation.startswith("container.apparmor.security.beta.kubernetes.io/") and not local:
            yield "appArmorProfile"
    for context in contexts(spec):
        if context.get("windowsOptions", {}).get("hostProcess"):
            yield "hostProcess"
        if context.get("privileged"):
            yield "privileged"
        for capability in context.get("capabilities", {}).get("add", []):
            if capability not in CAPABILITIES:
                yield f"capability {capability}"
        if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in ("RuntimeDefault", "Localhost"):
            yield "appArmorProfile"
        selinux = context.get("seLinuxOptions", {})
        if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
            yield "seLinuxOptions"
        if context.get("procMount", "Default") != "Default":
            yield "procMount"
        if context.get("seccompProfile", {}).get("type") == "Unconfined":
            yield "seccompProfile"
    for container in containers(spec):
        for port in container.get("ports", []):
            if port.get("hostPort"):
                yield "hostPort"
        for handler in handlers(container):
            if any(handler.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
                yield "host of a probe"


def restricted(template):
    """The fields that the level `restricted` does not allow: those of `baseline` too."""
    yield from baseline(template)
    spec = template["spec"]
    whole = spec.get("securityContext", {})
    for volume in spec.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {kind}"
    for context in contexts(spec):
        if context.get("runAsUser") == 0:
            yield "runAsUser"
    for container in containers(spec):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if not own.get("runAsNonRoot", whole.get("runAsNonRoot")):
            yield "runAsNonRoot"
        profile = own.get("seccompProfile", whole.get("seccompProfile", {}))
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities"


LEVELS = {"privileged": lambda template: (), "baseline": baseline, "restricted": restricted}
