#!/bin/sh
# Of the tests that `cargo test` ignores because they need rights or a kernel that not every machine has: prints a nextest
# filter of those that can run here, and says on standard error which cannot, and why. `make test` runs the former.
set -eu

runs='none()'
# try REASON FILTER COMMAND...: the tests of FILTER run where COMMAND succeeds.
try() {
    reason=$1 filter=$2
    shift 2
    if "$@" >/dev/null 2>&1; then
        runs="$runs | $filter"
    else
        echo "    ignored, $reason: $filter" >&2
    fi
}

namespace='ip link set lo up && ip link add outer type veth peer name inner'
try 'no network namespaces (root)' \
    'test(=probes::a_gateway_that_speaks_first_does_so_five_times_to_ten_addresses)' unshare --net sh -c "$namespace"
try 'no sch_netem in a network namespace' 'test(/^netns::/)' \
    unshare --net sh -c "$namespace && tc qdisc add dev lo root netem delay 1ms"
nat='table ip t { chain c { type nat hook postrouting priority 100; oifname lo masquerade; }; }'
try 'no nftables in a network namespace, or none by name' 'test(/^nats::/)' \
    unshare --net --mount sh -c "nft '$nat' && mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip netns add try && ip netns exec try true"
try 'no mount namespaces (root)' 'test(=logs::workers_that_come_and_go_leave_no_series)' \
    unshare --mount sh -c 'mount --bind /etc/hosts /etc/hosts'
try 'no ptrace (root)' \
    'test(=health::a_thread_that_hangs_is_named_then_unhealthy_and_all_is_well_when_it_goes_on) | test(=health::a_process_with_a_thread_that_hangs_for_long_ends_itself_with_a_line_that_says_why)' sh -c '[ "$(id -u)" = 0 ]'
echo "$runs"
