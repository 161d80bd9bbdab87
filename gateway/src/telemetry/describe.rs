//! What each metric is, as scrapers show it.

use metrics::{describe_counter, describe_gauge, describe_histogram};

pub(super) fn describe_all() {
    super::viewers::describe();
    describe_gauge!(
        "reframe_thread_stuck",
        "1 while a thread has given no sign of life for a second or more, else 0."
    );
    describe_histogram!(
        "reframe_thread_delay_seconds",
        "How long a thread took to run a task that it was given."
    );
    describe_counter!(
        "reframe_log_lines_left_out_total",
        "Lines of the log that were too many of their kind."
    );
    describe_gauge!("reframe_workers_serving", "Workers that take sessions of this gateway.");
    describe_gauge!("reframe_build_info", "Always 1; the version is in the label.");
    describe_gauge!("reframe_sessions_active", "Sessions that hold a slot.");
    describe_gauge!(
        "reframe_load_ratio",
        "Part of the time in which the codec threads are at work, with what new sessions will add."
    );
    describe_gauge!(
        "reframe_relief_steps",
        "Steps by which pictures are made fewer and smaller for want of time, on the thread that \
         has most."
    );
    describe_counter!(
        "reframe_access_refused_total",
        "Requests without the right to make them, by what was wrong."
    );
    describe_counter!(
        "reframe_client_limited_total",
        "Requests that were refused because of what their client has already, by limit."
    );
    describe_counter!("reframe_sessions_ended_total", "Ended sessions by reason.");
    describe_counter!(
        "reframe_sessions_total",
        "Sessions that started, by the codec of their video."
    );
    describe_counter!("reframe_offers_total", "Offers by outcome.");
    describe_counter!(
        "reframe_candidates_ignored_total",
        "Candidates of clients that were not understood."
    );
    describe_gauge!(
        "reframe_media_address_private",
        "1 while all addresses that browsers are told for media are private, else 0."
    );
    describe_counter!(
        "reframe_stun_errors_total",
        "Times that a STUN server of --public-ip did not tell our address."
    );
    describe_gauge!("reframe_http_connections", "Connections that an HTTP port holds.");
    describe_counter!(
        "reframe_http_refused_total",
        "Connections and requests that an HTTP port refused, by reason."
    );
    describe_gauge!(
        "reframe_tls_certificate_expiry_timestamp_seconds",
        "When the certificate of the public port, or of the cluster, expires, in seconds since \
         1970."
    );
    describe_counter!(
        "reframe_tls_reload_errors_total",
        "Changed certificate files that could not be used."
    );
    describe_gauge!(
        "reframe_plain_connections",
        "Connections to workers and between gateways that are open without TLS, which \
         --cluster-tls prefer takes."
    );
    describe_counter!(
        "reframe_plain_connections_total",
        "Connections to workers and between gateways that came about without TLS."
    );
    describe_counter!(
        "reframe_forwarded_total",
        "Requests for a session of another gateway, by outcome."
    );
    describe_counter!(
        "reframe_frames_received_total",
        "Frames of which a packet arrived, or for which a generator was asked."
    );
    describe_counter!(
        "reframe_frames_emitted_total",
        "Received frames whose result was sent to the browser."
    );
    describe_counter!(
        "reframe_frames_consumed_total",
        "Received frames that the handler gave no picture for, and meant to."
    );
    describe_counter!(
        "reframe_connection_failures_total",
        "Connections with browsers that failed, by the step that did."
    );
    describe_counter!("reframe_frames_repeated_total", "Re-emissions of the last result.");
    describe_counter!(
        "reframe_frames_dropped_total",
        "Received frames that were lost, by hop and reason."
    );
    describe_counter!(
        "reframe_nothing_shown_total",
        "Times that no frame of a session's video was decoded for three seconds, by what was wrong."
    );
    describe_counter!(
        "reframe_mailbox_full_total",
        "Nudges that a full mailbox refused, by actor."
    );
    describe_histogram!("reframe_stage_seconds", "Time that a frame spent in a part of its way.");
    describe_histogram!(
        "reframe_handler_seconds",
        "Time that the handler took for a frame, as its worker measured."
    );
    describe_histogram!(
        "reframe_turn_wait_seconds",
        "Time that a frame waited for its turn, where a stream's calls run one at a time."
    );
    describe_histogram!(
        "reframe_batch_size",
        "Frames that a model worked on at once, as each of them saw it."
    );
    describe_histogram!(
        "reframe_batch_wait_seconds",
        "Time that a frame waited at the worker for a model to begin."
    );
    describe_histogram!(
        "reframe_model_seconds",
        "Time that a model took for the batch, as each of its frames saw it."
    );
    describe_histogram!(
        "reframe_model_share_seconds",
        "That time divided by the frames of the batch: the sum is the time that models worked."
    );
    describe_counter!("reframe_batch_failures_total", "Frames whose batch failed as a whole.");
    describe_counter!(
        "reframe_superseded_total",
        "Frames that made way for a newer one while they waited for a model."
    );
    describe_counter!("reframe_packets_dropped_total", "Packets that were thrown away, by reason.");
    describe_counter!(
        "reframe_ice_tcp_connections_total",
        "TCP connections to the media port, by outcome."
    );
    describe_counter!(
        "reframe_packets_requested_total",
        "Lost packets asked of browsers again, each request (NACK)."
    );
    describe_counter!(
        "reframe_retransmissions_refused_total",
        "Packets that clients asked for and did not get, by reason."
    );
    describe_counter!("reframe_keyframe_requests_total", "Keyframe requests, by direction.");
    describe_counter!(
        "reframe_messages_dropped_total",
        "Messages for a browser that did not take them in time."
    );
    describe_counter!(
        "reframe_messages_ignored_total",
        "Messages from browsers that mean nothing here, by reason."
    );
    describe_counter!("reframe_inputs_refused_total", "Inputs that did not fit their declaration.");
    describe_counter!(
        "reframe_outputs_dropped_total",
        "Outputs that a slow reader lost, by reader."
    );
    describe_histogram!(
        "reframe_release_error_seconds",
        "Mode receive: how far off its instant on the grid a picture left."
    );
    describe_counter!(
        "reframe_failovers_total",
        "Sessions that changed workers, or lost theirs for good, by outcome."
    );
    describe_histogram!(
        "reframe_failover_seconds",
        "For how long a session had no worker after it lost one."
    );
    describe_histogram!(
        "reframe_bandwidth_bytes_per_second",
        "Video that the path to a browser is thought to carry, once a second of each session with \
         feedback."
    );
    describe_counter!(
        "reframe_padding_bytes_total",
        "Padding sent to browsers to measure what their paths carry."
    );
    describe_histogram!(
        "reframe_setup_seconds",
        "From an offer to the first picture sent, or the first frame consumed in mode send."
    );
    describe_counter!(
        "reframe_workers_refused_total",
        "Workers that answered and are not used, by reason."
    );
    describe_counter!(
        "reframe_links_total",
        "Sessions that found a worker, by the way of their pictures to it."
    );
    describe_counter!(
        "reframe_discovery_errors_total",
        "Lookups of the name of workers that failed."
    );
    describe_gauge!(
        "reframe_sessions_by_locality",
        "Sessions placed by this gateway, by how near their workers are."
    );
    describe_gauge!("reframe_slots", "Slots that the serving workers of a stream declare.");
    describe_gauge!("reframe_slots_used", "Those of them that are taken, by whichever gateway.");
    describe_gauge!(
        "reframe_placement_up",
        "With Redis: 1 when it shares sessions and slots, else 0."
    );
    describe_counter!("reframe_placement_errors_total", "What Redis did not do, by operation.");
    describe_histogram!(
        "reframe_claim_seconds",
        "With Redis: time that it took to place a session."
    );
}
