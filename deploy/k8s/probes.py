"""What the kubelet does to a container whose port opens late, or hangs: its probes as the manifest times them."""

# Seconds that a container is watched in the simulation.
HORIZON = 3600


class Probe:
    """One of a container's probes, with the defaults of Kubernetes."""

    def __init__(self, spec):
        self.next = spec.get("initialDelaySeconds", 0)
        self.period = spec.get("periodSeconds", 10)
        self.failure_threshold = spec.get("failureThreshold", 3)
        self.success_threshold = spec.get("successThreshold", 1)
        self.failures = self.successes = 0

    def asked(self, answers):
        """True or False when it has decided something, else None."""
        self.next += self.period
        self.failures, self.successes = (0, self.successes + 1) if answers else (self.failures + 1, 0)
        if self.successes >= self.success_threshold:
            return True
        return False if self.failures >= self.failure_threshold else None


def simulate(container, opens, hangs=HORIZON):
    """Of a container that answers from `opens` until `hangs`: when it is ready and when it is killed, in seconds from
    its start; None for never. The worst case: the first probe comes at once, and no try takes time."""
    startup = Probe(container["startupProbe"]) if "startupProbe" in container else None
    others = {kind: None for kind in ("readinessProbe", "livenessProbe") if kind in container}
    ready = None
    for now in range(HORIZON):
        answers = opens <= now < hangs
        if startup:
            if now < startup.next:
                continue
            match startup.asked(answers):
                case False:
                    return ready, now
                case None:
                    continue
            startup = None
        for kind in others:
            if others[kind] is None:
                others[kind] = Probe(container[kind])
                others[kind].next += now
            probe = others[kind]
            if now >= probe.next:
                decided = probe.asked(answers)
                if kind == "livenessProbe" and decided is False:
                    return ready, now
                if kind == "readinessProbe" and decided and ready is None:
                    ready = now
    return ready, None
