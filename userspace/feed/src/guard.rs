//! The conditions that keep a book right, by name, so that the model check can take one away and
//! must notice. In a program there is nothing here: each guard is its condition.

/// A condition that must not be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// What is ahead of the next message waits.
    InOrder,
    /// What has been applied is not applied again.
    OnlyOnce,
    /// Packets wait while a snapshot loads.
    HoldForSnapshot,
    /// A snapshot must reach the packets that wait for it.
    SnapshotConnects,
    /// A snapshot is taken only while one is asked for.
    SnapshotWanted,
    /// A retransmission that takes too long is not waited for.
    Deadline,
    /// The rest of a packet that ended early is missing.
    WholePacket,
}

/// Which guards hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Guards {
    #[cfg(test)]
    pub(crate) removed: Option<Guard>,
}

impl Guards {
    /// `condition`, or true where a test has removed the guard.
    #[inline(always)]
    #[cfg_attr(not(test), expect(unused_variables, reason = "no guard can be removed"))]
    pub(crate) fn pass(self, guard: Guard, condition: bool) -> bool {
        #[cfg(test)]
        if self.removed == Some(guard) {
            return true;
        }
        condition
    }
}
