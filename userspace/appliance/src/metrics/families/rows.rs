//! The rows of the table, in the order of the path.

use super::{Family, Kind, Of};

const CHANNEL: &[&str] = &["channel"];
const INTERFACE: &[&str] = &["interface"];
const LEVEL: &[&str] = &["level"];
const LINE: &[&str] = &["channel", "line"];
const MACHINE: &[&str] = &["shard", "machine"];
const SHARD: &[&str] = &["shard"];
const THREAD: &[&str] = &["thread"];
const WORKER: &[&str] = &["worker"];

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    counter: &'static str,
    help: &'static str,
) -> Family {
    let of = Of::Counter(counter, 1.0);
    Family { name, kind: Kind::Counter, unit: "", labels, of, help }
}

const fn counters(
    name: &'static str,
    labels: &'static [&'static str],
    by: &'static str,
    counters: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Family {
    let of = Of::Counters(by, counters);
    Family { name, kind: Kind::Counter, unit: "", labels, of, help }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    of: &'static str,
    help: &'static str,
) -> Family {
    Family { kind: Kind::Gauge, ..counter(name, labels, of, help) }
}

const fn seconds(
    name: &'static str,
    labels: &'static [&'static str],
    of: Of,
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Gauge, unit: "seconds", labels, of, help }
}

const fn other(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    of: Of,
    help: &'static str,
) -> Family {
    Family { name, kind, unit: "", labels, of, help }
}

/// Every family.
#[rustfmt::skip]
pub const FAMILIES: &[Family] = &[
    // The appliance.
    other("build", Kind::Info, &["version"], Of::Build, "The version that runs."),
    seconds("start_time", &[], Of::Counter("appliance_start_time_ms", 1e-3), "When the appliance started, since the UNIX epoch."),
    seconds("counted_time", &[], Of::Counter("appliance_counted_ns", 1e-9), "When the counters were last brought up to date, since the UNIX epoch."),
    gauge("ready", &[], "appliance_ready", "1 once packets can be received."),
    seconds("heartbeat_age", &[], Of::Heartbeat, "Since housekeeping last moved; it does so every 50 ms."),
    counter("thread_cycles", THREAD, "thread_cycles", "Turns that a thread of the path has begun, modulo 2^48."),
    counter("thread_empty_cycles", THREAD, "thread_empty_cycles", "Turns of a hot thread that found nothing to do; over those that it began, the share of time to spare."),
    seconds("thread_longest_cycle", THREAD, Of::Counter("thread_longest_cycle_ns", 1e-9), "The longest turn of a hot thread in the last 10 to 20 seconds, sleep aside."),
    seconds("thread_longest_cycle_ever", THREAD, Of::Counter("thread_longest_cycle_ever_ns", 1e-9), "The longest turn of a hot thread since the start, sleep aside."),
    gauge("thread_stalled", THREAD, "thread_stalled", "1 while a thread of the path has begun no turn for supervision.no_progress_ms."),
    counter("stalls", &[], "supervision_stalls", "Times that a thread of the path was said to have stalled."),

    counter("reloads", &[], "reload_done", "Times that the configuration was read anew and taken over."),
    counter("refused_reloads", &[], "reload_refused", "Times that the configuration was read anew and refused, and what ran went on."),
    counter("suppressed_log_lines", LEVEL, "log_suppressed_lines", "Lines left out of the log because many alike came at once."),

    // Interfaces.
    gauge("interface_up", INTERFACE, "interface_up", "1 while the interface is open and has a link."),
    counter("interface_link_changes", INTERFACE, "interface_link_changes", "Times that the interface's link went down or came up while it was open."),
    counter("interface_openings", INTERFACE, "interface_openings", "Times that the interface was opened: once, and once more each time that it was gone."),
    counter("interface_refused_openings", INTERFACE, "interface_refused_openings", "Times that the interface could not be opened, and was tried again."),

    // Gap, drop and overrun: three families.
    counter("gaps", CHANNEL, "channel_gaps", "Ranges of sequences that no line brought in time."),
    counter("gap_messages", CHANNEL, "channel_missing_messages", "Messages in gaps, whether or not a recovery brought them later."),
    counters("drops", WORKER, "reason", &[
        ("drop_rx_dropped", "rx_dropped"), ("drop_rx_ring_full", "rx_ring_full"),
        ("drop_rx_invalid_descriptors", "rx_invalid_descriptors"), ("drop_bad_descriptors", "bad_descriptors"),
        ("drop_socket_dropped", "socket_dropped"), ("drop_socket_truncated", "socket_truncated"),
        ("drop_socket_errors", "socket_errors"),
    ], "Packets that the kernel or a socket lost before userspace, by reason."),
    counters("nic_drops", &["interface"], "reason", &[
        ("nic_rx_errors", "rx_errors"), ("nic_rx_dropped", "rx_dropped"), ("nic_rx_missed_errors", "rx_missed_errors"),
        ("nic_rx_over_errors", "rx_over_errors"), ("nic_rx_fifo_errors", "rx_fifo_errors"),
    ], "Packets that the interface lost by its own counters, which may count one packet several times; never to be added to drops."),
    counter("overruns", THREAD, "recorder_overruns", "Times that a hot thread lapped a recorder thread, which then missed records."),
    counter("overrun_slots", THREAD, "recorder_missed_slots", "Slots that were overwritten before a recorder thread read them."),

    // Lines.
    counter("line_packets", LINE, "line_packets", "Packets of the line, heartbeats included."),
    counter("line_messages", LINE, "line_messages", "Messages in the line's packets."),
    counter("line_duplicate_packets", LINE, "line_duplicates", "Packets whose messages another copy had brought before."),
    counter("line_late_packets", LINE, "line_late", "Packets whose messages came too late: given up, or repaired by a recovery."),
    counter("line_missing_messages", LINE, "line_missing_messages", "Messages that the line skipped, whoever brought them."),
    gauge("line_behind_messages", LINE, "line_behind_messages", "Messages that the line is behind the newest that any line has shown."),
    seconds("line_silent", LINE, Of::Counter("line_silent_ms", 1e-3), "Since the line's last packet, or the start where none has come."),

    // Channels.
    other("channel_state", Kind::Gauge, &["channel", "state"], Of::State("channel_state"), "1 for the state that the channel's books are in, 0 for the others."),
    gauge("channel_next_sequence", CHANNEL, "channel_next_sequence", "Sequence of the next message to apply."),
    counter("channel_messages", CHANNEL, "channel_messages", "Messages applied from lines and retransmissions."),
    counter("channel_duplicate_packets", CHANNEL, "channel_duplicates", "Packets all of whose messages another copy had brought before."),
    counter("channel_late_packets", CHANNEL, "channel_late", "Packets of lines whose messages came after they had been given up or recovered."),
    counter("channel_held_packets", CHANNEL, "channel_held", "Packets that waited in the reorder window."),
    counter("channel_window_overflows", CHANNEL, "channel_overflows", "Packets for which the reorder window had no room; their messages are missing."),
    counter("channel_short_packets", CHANNEL, "channel_short_packets", "Packets of which fewer messages could be applied than they announced."),
    counter("channel_retransmitted_messages", CHANNEL, "channel_retransmitted_messages", "Messages applied from a retransmission."),
    counter("channel_lost_messages", CHANNEL, "channel_lost_messages", "Messages that nothing brought back."),
    counter("channel_retransmit_requests", CHANNEL, "channel_retransmit_requests", "Retransmissions asked for."),
    counter("channel_retransmit_failures", CHANNEL, "channel_retransmit_failures", "Times that retransmission failed or took too long."),
    counter("channel_unasked_packets", CHANNEL, "channel_unasked_packets", "Packets of a retransmit server that nobody had asked for."),
    counter("channel_snapshot_requests", CHANNEL, "channel_snapshot_requests", "Snapshots asked for."),
    counter("channel_snapshots", CHANNEL, "channel_snapshots", "Snapshots taken over."),
    counter("channel_snapshot_messages", CHANNEL, "channel_snapshot_messages", "Messages that were not applied, as a snapshot held what they did."),
    counter("channel_refused_snapshots", CHANNEL, "channel_refused_snapshots", "Snapshots refused: not asked for, of another session, or back in time."),
    counter("channel_snapshot_failures", CHANNEL, "channel_snapshot_failures", "Times that a snapshot failed or took too long."),
    counter("channel_session_changes", CHANNEL, "channel_session_changes", "Times that the session changed."),
    counter("channel_old_session_packets", CHANNEL, "channel_old_session_packets", "Packets of the session before the current one."),
    counter("channel_doubted_packets", CHANNEL, "channel_doubted_packets", "Packets that could not be believed alone: of an unknown session, or far ahead."),
    counter("channel_grown_messages", CHANNEL, "channel_grown_messages", "Known messages that were longer than the specification says; their tails were ignored."),
    counter("channel_saturated_sizes", CHANNEL, "channel_saturated_sizes", "Sizes beyond 32 bits, given as the largest size there is."),

    // Workers.
    counter("worker_packets", WORKER, "worker_packets", "Packets of the worker's lines."),
    counter("worker_messages", WORKER, "worker_messages", "Messages applied."),
    counter("worker_heartbeats", WORKER, "worker_heartbeats", "Packets without messages that only say what the next sequence is."),
    counter("worker_ends_of_session", WORKER, "worker_ends_of_session", "Packets that end a session."),
    counter("worker_unknown_messages", WORKER, "worker_unknown_messages", "Messages of a type that the decoder does not know, stepped over by their length."),
    counter("worker_malformed_packets", WORKER, "worker_malformed_packets", "Packets with a length that does not hold or a message that is too short."),
    counter("worker_over_limit_messages", WORKER, "worker_over_limit_messages", "Messages left out because the symbol table was full."),
    counter("worker_other_packets", WORKER, "worker_other_packets", "Packets of a destination that no line names."),
    counter("worker_backpressure", WORKER, "worker_backpressure", "Times that the worker waited for a shard."),

    // Shards and their books.
    other("books", Kind::Gauge, &["channel", "state"], Of::Books, "Books by state, as the boards show them."),
    other("stale_books", Kind::Gauge, &["channel", "reason"], Of::StaleBooks, "Stale books by reason, as the boards show them."),
    counter("shard_events", SHARD, "shard_events", "Events applied, packets' times and states among them."),
    counter("shard_packets", SHARD, "shard_packets", "Packets of which the shard got an event."),
    counter("shard_records", SHARD, "shard_records", "Records of every kind that left."),
    counter("shard_unknown_orders", SHARD, "shard_unknown_orders", "Executions, reductions, deletions and replacements of an order that the book does not hold."),
    counter("shard_unknown_modifies", SHARD, "shard_unknown_modifies", "Modifications of an order that the book does not hold: taken as additions."),
    counter("shard_unknown_levels", SHARD, "shard_unknown_levels", "Removals of a price level that the book does not hold."),
    counter("shard_duplicate_orders", SHARD, "shard_duplicate_orders", "Orders added, outside a snapshot, under an id that already rested; the new one stays."),
    counter("shard_oversized_reductions", SHARD, "shard_oversized_reductions", "Executions and reductions by more than the order had left."),
    counter("shard_bad_events", SHARD, "shard_bad_events", "Events that can mean nothing: size 0, no side or no price where there must be one."),
    counter("shard_crossed_events", SHARD, "shard_crossed_events", "Events after which the best bid was at or above the best ask, outside auctions and halts."),
    counter("shard_quarantined_events", SHARD, "shard_quarantined_events", "Events of a book that takes none because it is in quarantine."),
    counters("shard_limit_hits", SHARD, "limit", &[
        ("shard_instrument_limit_hits", "instruments"), ("shard_order_limit_hits", "orders"), ("shard_level_limit_hits", "levels"),
    ], "Times that a configured limit left no room, by limit."),
    other("shard_in_use", Kind::Gauge, SHARD, Of::Counters("limit", &[
        ("shard_instruments_in_use", "instruments"), ("shard_orders_in_use", "orders"), ("shard_levels_in_use", "levels"),
    ]), "How much of a configured limit is in use, by limit."),
    counter("book_falls", SHARD, "repair_falls", "Books that fell: by a panic, or by a check of their own."),
    counter("shard_rebuilds", SHARD, "repair_shard_rebuilds", "Times that the shard's tables had to be made anew."),
    counter("book_repairs", SHARD, "repair_repaired", "Books that came back after a fall of their own."),
    counter("book_repair_failures", SHARD, "repair_failed_attempts", "Attempts that did not bring a book or a channel back."),
    counter("book_repairs_put_off", SHARD, "repair_put_off", "Attempts that ended without being one, as the channel had no time."),
    counter("book_repairs_given_up", SHARD, "repair_given_up", "Books and channels that were given up after their last attempt."),
    counter("check_comparisons", SHARD, "check_comparisons", "Ends of events at which a book was compared with the model beside it."),
    counter("check_differences", SHARD, "check_differences", "Comparisons that found a difference."),
    counter("refresh_books", SHARD, "refresh_books", "Whole books written for readers that missed something."),
    counter("refresh_rounds", SHARD, "refresh_rounds", "Times round all books."),
    counter("refresh_begun_anew", SHARD, "refresh_begun_anew", "Books begun anew, as they changed before their last piece."),
    counter("refresh_too_large", SHARD, "refresh_too_large", "Books given up for their size."),
    counter("machine_faults", MACHINE, "machine_faults", "Panics and failed invariants of machines."),
    counter("machine_rebuilds", MACHINE, "machine_rebuilds", "Machines that were rebuilt whole."),
    gauge("machines_down", MACHINE, "machine_down", "Machines that are down and will be rebuilt."),
    gauge("machines_given_up", MACHINE, "machine_given_up", "Machines that stay down."),

    // Recovery.
    counter("recovery_requests", &[], "recovery_requests", "Retransmission requests sent, repeated ones included."),
    counter("recovery_unsent_requests", &[], "recovery_unsent_requests", "Requests that the socket did not take."),
    counter("recovery_answers", &[], "recovery_answers", "Answers that brought messages that were asked for, and were handed over."),
    counter("recovery_short_answers", &[], "recovery_short_answers", "Of these, answers with fewer messages than asked for."),
    counter("recovery_empty_answers", &[], "recovery_empty_answers", "Answers without messages."),
    counter("recovery_unasked_answers", &[], "recovery_unasked_answers", "Answers of another session, or with messages that were not asked for."),
    counter("recovery_malformed_answers", &[], "recovery_malformed_answers", "Answers that are no packet, or hold not what their header says."),
    counter("recovery_unbuffered_answers", &[], "recovery_unbuffered_answers", "Answers that were asked for and had no free buffer: the worker is behind."),
    counter("recovery_timeouts", &[], "recovery_timeouts", "Requests that were not answered in time."),
    counter("recovery_unreachable_retransmitters", &[], "recovery_unreachable_servers", "Times that a host said that no retransmit server is there."),
    counter("recovery_retransmit_failures", &[], "recovery_retransmit_failures", "Ranges that no server sent again."),
    counter("recovery_connections", &[], "recovery_connections", "Connections to snapshot servers that were tried."),
    counter("recovery_snapshot_messages", &[], "recovery_snapshot_messages", "Messages of snapshots handed over."),
    counter("recovery_snapshots", &[], "recovery_snapshots", "Snapshots that came whole."),
    counter("recovery_snapshot_backpressure", &[], "recovery_snapshot_backpressure", "Times that the messages of a snapshot waited for the worker."),
    counter("recovery_snapshot_failures", &[], "recovery_snapshot_failures", "Snapshots that no server gave."),
    counters("recovery_failed_connections", &[], "reason", &[
        ("recovery_unreachable", "unreachable"), ("recovery_refused_logins", "refused_login"),
        ("recovery_closed_early", "closed_early"), ("recovery_silent", "silent"), ("recovery_overdue", "overdue"),
        ("recovery_garbage", "garbage"), ("recovery_behind", "behind"),
    ], "Connections to snapshot servers that brought no snapshot, by reason."),

    // Recorders.
    counter("recorder_records", THREAD, "recorder_records", "Records written, notes among them."),
    counter("recorder_packets", THREAD, "recorder_packets", "Packets taken to be written."),
    Family { unit: "bytes", ..counter("recorder_written", THREAD, "recorder_bytes", "Bytes written, as they are on disk; snapshots not among them.") },
    counter("recorder_files", THREAD, "recorder_files", "Files begun; snapshots not among them."),
    counter("recorder_flushes", THREAD, "recorder_flushes", "Writes, each of what a file then holds whole."),
    counter("recorder_bad_entries", THREAD, "recorder_bad_entries", "Entries of a ring that were none of ours."),
    counter("recorder_snapshots", THREAD, "recorder_snapshots", "Snapshots written."),
    counter("recorder_write_errors", THREAD, "recorder_write_errors", "Errors of the disk."),
    gauge("recorder_stopped", THREAD, "recorder_recording_stopped", "1 once the recorder thread has stopped writing, after an error."),

    // The interval log.
    counter("hlog_lines", &[], "hlog_lines", "Lines written to the HdrHistogram interval log."),
    counter("hlog_write_errors", &[], "hlog_write_errors", "Intervals that could not be written to it."),

    // Stages.
    Family {
        name: "stage", kind: Kind::Histogram, unit: "seconds", labels: &["stage"], of: Of::Stages,
        help: "How long each stage of the path took, by stage and by the worker, shard or channel that it is of.",
    },
];
