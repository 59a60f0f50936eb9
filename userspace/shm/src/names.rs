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

/// The histogram of a stage's latency: `gap→live` is `gap-to-live`.
pub fn histogram(stage: &str) -> String {
    stage.replace('→', "-to-").replace(' ', "-")
}

/// The open ring of what the appliance has to tell a person.
pub const NOTICES: &str = "notices";

/// The board with the tops of a shard's books.
pub fn board(shard: usize) -> String {
    format!("board-{shard}")
}
