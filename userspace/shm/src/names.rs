//! What an appliance's rings and boards are called in its segment, for writer and readers alike.

/// The gated ring from a worker to a shard.
pub fn mailbox(worker: usize, shard: usize) -> String {
    format!("mailbox-{worker}-{shard}")
}

/// The open ring with a shard's records.
pub fn output(shard: usize) -> String {
    format!("output-{shard}")
}

/// The open ring with a shard's whole books, one after the other.
pub fn refresh(shard: usize) -> String {
    format!("refresh-{shard}")
}

/// The block with all counters.
pub const COUNTERS: &str = "counters";

/// The histogram of this number, in the order in which they were first named.
pub fn histogram(number: usize) -> String {
    format!("histogram-{number}")
}

/// What a histogram of a stage's latency is called in its head: that of `gap→live` of `channel="c0"` is
/// `gap-to-live{channel="c0"}`.
pub fn stage(stage: &str, labels: &str) -> String {
    let stage = stage.replace('→', "-to-").replace(' ', "-");
    if labels.is_empty() { stage } else { format!("{stage}{{{labels}}}") }
}

/// The stage in such a name.
pub fn stage_of(name: &str) -> &str {
    name.split_once('{').map_or(name, |(stage, _)| stage)
}

/// The open ring of what the appliance has to tell a person.
pub const NOTICES: &str = "notices";

/// The board with the tops of a shard's books.
pub fn board(shard: usize) -> String {
    format!("board-{shard}")
}
