//! Every counter, with every value of its labels, starts at zero. To Prometheus a counter that
//! first appears at 1 has not grown, so that `increase()` would miss the first event, and an alert
//! on it.
//!
//! Those by `stream` or `server` start when that is known. A test compares this table with
//! `docs/metrics.md`.

use metrics::counter;

/// Counters without labels.
const PLAIN: &[&str] = &[
    "reframe_candidates_ignored_total",
    "reframe_discovery_errors_total",
    "reframe_frames_consumed_total",
    "reframe_frames_emitted_total",
    "reframe_frames_received_total",
    "reframe_frames_repeated_total",
    "reframe_inputs_refused_total",
    "reframe_log_lines_left_out_total",
    "reframe_messages_dropped_total",
    "reframe_packets_requested_total",
    "reframe_padding_bytes_total",
    "reframe_renditions_skipped_total",
    "reframe_renditions_total",
];

/// A counter, its label, and the values of that, separated by spaces.
const LABELLED: &[(&str, &str, &str)] = &[
    (
        "reframe_access_refused_total",
        "reason",
        "unauthorized forbidden session_token_missing session_token_wrong auth_unavailable \
         wrong_ids",
    ),
    (
        "reframe_client_limited_total",
        "limit",
        "offers_of_address offers_of_subject pending_of_address pending_of_subject \
         sessions_of_address sessions_of_subject sessions_of_token wrong_ids_of_address",
    ),
    ("reframe_connection_failures_total", "step", "no_packet no_path encryption silence"),
    ("reframe_failovers_total", "outcome", "moved nearer recovered lost"),
    ("reframe_forwarded_total", "outcome", "ok unreachable timeout foreign full"),
    ("reframe_ice_tcp_connections_total", "outcome", "accepted unknown silent displaced refused"),
    ("reframe_keyframe_requests_total", "direction", "in ignored out"),
    ("reframe_links_total", "carrier", "process memory messages"),
    ("reframe_mailbox_full_total", "actor", "link pacer session"),
    ("reframe_messages_ignored_total", "reason", "unknown too_long"),
    (
        "reframe_nothing_shown_total",
        "fault",
        "nothing_came payload_type no_keyframe too_large undecodable",
    ),
    (
        "reframe_offers_total",
        "outcome",
        "answered renegotiated exists full no_worker overloaded draining busy rate_limited \
         session_limit_reached no_codec invalid malformed",
    ),
    ("reframe_outputs_dropped_total", "reader", "channel updates"),
    (
        "reframe_packets_dropped_total",
        "reason",
        "junk unknown_ufrag forged unknown_address unsigned path_limit check_rate mux_full \
         dtls_early unreadable backlog late_or_hostile not_heard not_answered not_asked tcp_full \
         unsendable oversize dtls sources feedback srtcp_plain sctp_malformed sctp_association \
         sctp_data sctp_reset sctp_forward_tsn sctp_rate",
    ),
    ("reframe_placement_errors_total", "operation", "connect claim renew release locate"),
    ("reframe_plain_connections_total", "peer", "worker gateway"),
    ("reframe_retransmissions_refused_total", "reason", "gone repeated budget"),
    (
        "reframe_sessions_ended_total",
        "reason",
        "client_closed connection_failed never_connected no_dtls crowded_out refused no_video idle \
         displaced silent driver_panicked driver_ended worker_lost handler_failed handler_ended \
         time_limit operator shutdown changed unwatched",
    ),
    ("reframe_sessions_total", "codec", "vp8 vp9 h264 none"),
    ("reframe_tls_reload_errors_total", "certificate", "public cluster"),
    (
        "reframe_viewer_frames_total",
        "outcome",
        "forwarded awaits_keyframe congested overflow ended",
    ),
    (
        "reframe_viewers_ended_total",
        "reason",
        "client_closed connection_failed never_connected no_dtls silent driver_panicked \
         driver_ended session_ended shutdown",
    ),
    (
        "reframe_viewers_refused_total",
        "reason",
        "unknown_session nothing_shown no_picture too_many invalid invalid_offer busy draining \
         rate_limited session_limit_reached",
    ),
    ("reframe_workers_refused_total", "reason", "version declaration contradiction"),
];

/// What a port refuses: a port has these.
const PORTS: &str = "public admin peer";
const REFUSED: &str = "connections connections_of_address handshake_timeout head_timeout head_size \
                       reader_stalled host origin forwarded body_timeout body_size body_broken \
                       body_memory";

/// Where frames are lost, and why there.
const DROPPED: &[(&str, &str)] = &[
    ("ingress", "incomplete no_keyframe codec overflow rate ended"),
    ("session", "skipped overflow ended"),
    ("link", "handler_error superseded worker_lost ended"),
    ("pacer", "skipped ended"),
    ("egress", "congested busy skipped codec ended"),
    ("peer", "overflow ended"),
];

/// Writes them all.
pub(super) fn write() {
    for name in PLAIN {
        counter!(*name).absolute(0);
    }
    for (name, label, values) in LABELLED {
        for value in values.split(' ') {
            counter!(*name, *label => value).absolute(0);
        }
    }
    for port in PORTS.split(' ') {
        for reason in REFUSED.split(' ') {
            counter!("reframe_http_refused_total", "port" => port, "reason" => reason).absolute(0);
        }
    }
    for (hop, reasons) in DROPPED {
        for reason in reasons.split(' ') {
            counter!("reframe_frames_dropped_total", "hop" => *hop, "reason" => reason).absolute(0);
        }
    }
}
