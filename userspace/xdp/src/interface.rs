//! An interface with the steering program on it.

use std::io;

use wirebook_ebpf::{Counters, LineKey, Mode, Steering, SteeringOptions, Timestamps};

use crate::{BindMode, Receiver, SocketConfig, XdpError};

/// An interface whose frames are steered. Dropping it detaches the program; so
/// does the end of the process, however it comes.
#[derive(Debug)]
pub struct Interface {
    name: String,
    index: u32,
    mode: Mode,
    steering: Steering,
}

impl Interface {
    /// Attaches the steering program to an interface of this thread's network
    /// namespace and tells it the lines, each with the index it is known by.
    ///
    /// # Errors
    /// [`XdpError::Interface`] or [`XdpError::Steering`].
    pub fn attach(
        name: &str,
        options: &SteeringOptions,
        lines: impl IntoIterator<Item = (LineKey, u16)>,
    ) -> Result<Self, XdpError> {
        let index = nix::net::if_::if_nametoindex(name).map_err(|errno| XdpError::Interface {
            name: name.to_owned(),
            source: io::Error::from(errno),
        })?;
        let (mut steering, mode) = Steering::attach(index, options)?;
        for (key, line) in lines {
            steering.set_line(key, line)?;
        }
        let timestamps = steering.timestamps();
        tracing::info!(interface = name, %mode, ?timestamps, "steering attached");
        Ok(Self { name: name.to_owned(), index, mode, steering })
    }

    /// The default socket for one of its queues: in generic mode, copy mode.
    pub fn socket_config(&self, queue: u32) -> SocketConfig {
        let mut config = SocketConfig::new(self.name.as_str(), queue);
        if self.mode == Mode::Generic {
            config.bind = BindMode::Copy;
        }
        config
    }

    /// Puts the receiver's sockets on this interface into the steering map;
    /// until then their frames go to the kernel. Returns how many they were.
    ///
    /// # Errors
    /// [`XdpError::Steering`].
    pub fn serve(&mut self, receiver: &Receiver) -> Result<usize, XdpError> {
        let mut served = 0;
        for (interface, queue, socket) in receiver.sockets() {
            if interface == self.name {
                self.steering.set_socket(queue, socket)?;
                served += 1;
            }
        }
        Ok(served)
    }

    /// Steers the frames of one more line, or the same under another index.
    ///
    /// # Errors
    /// [`XdpError::Steering`].
    pub fn set_line(&mut self, key: LineKey, line: u16) -> Result<(), XdpError> {
        Ok(self.steering.set_line(key, line)?)
    }

    /// Gives the frames of a line back to the kernel.
    ///
    /// # Errors
    /// [`XdpError::Steering`].
    pub fn remove_line(&mut self, key: LineKey) -> Result<(), XdpError> {
        Ok(self.steering.remove_line(key)?)
    }

    /// Runs the program on a frame as if it had arrived on queue 0, and carries out what it says.
    ///
    /// # Errors
    /// [`XdpError::Steering`], as always with [`Timestamps::Hardware`].
    pub fn inject(&self, frame: &[u8]) -> Result<(), XdpError> {
        Ok(self.steering.inject(self.index, frame)?)
    }

    /// What the steering program did so far.
    ///
    /// # Errors
    /// [`XdpError::Steering`].
    pub fn counters(&self) -> Result<Counters, XdpError> {
        Ok(self.steering.counters()?)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its index, by which groups are joined.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The XDP mode it got.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the time of arrival comes from.
    pub fn timestamps(&self) -> Timestamps {
        self.steering.timestamps()
    }
}
