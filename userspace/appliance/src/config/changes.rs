//! A configuration that is to follow another while the appliance runs.
//!
//! Arrives: what the file says now, and what runs. Leaves: its numbers, so that what stays keeps
//! those that it has, and the list of what cannot change without a restart. Promises: a number that
//! was a line's or another channel's is never given again in a run, because packets and records with
//! it may still be on their way; a channel that comes back under its name gets its own number back,
//! and with it its books.

use super::{ChannelConfig, Config, Handlers};
use std::collections::{BTreeSet, HashMap};
use wirebook_wire::Protocol;

/// Numbers that have been given in this run.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    channels: u16,
    lines: u32,
    /// The channels that are gone: what they were called, and what a channel must be to be the same.
    gone: HashMap<String, (u8, Protocol, Option<u16>)>,
}

impl Numbers {
    /// The numbers that a configuration was given when it was read.
    pub fn of(config: &Config) -> Self {
        let lines = config.channels.iter().map(|channel| channel.lines.len() as u32).sum();
        Self { channels: config.channels.len() as u16, lines, gone: HashMap::new() }
    }

    /// Gives channels and lines the numbers that they have in `running`, or new ones.
    ///
    /// # Errors
    /// Says which numbers have run out.
    pub fn give(&mut self, next: &mut Config, running: &Config) -> Result<(), String> {
        for channel in &running.channels {
            if next.channel(&channel.name).is_none() {
                self.gone.insert(channel.name.clone(), identity(channel));
            }
        }
        for channel in &mut next.channels {
            let before = running.channel(&channel.name);
            channel.number = match before {
                Some(before) => before.number,
                None => self.number_of_new(channel)?,
            };
            for line in &mut channel.lines {
                let key = line.key();
                let same = before.iter().flat_map(|before| &before.lines);
                let mut same = same.filter(|b| b.interface == line.interface && b.key() == key);
                line.number = match same.next() {
                    Some(before) => before.number,
                    None => self.number_of_line()?,
                };
            }
        }
        Ok(())
    }

    fn number_of_new(&mut self, channel: &ChannelConfig) -> Result<u8, String> {
        let (_, protocol, publisher_id) = identity(channel);
        if let Some(gone) = self.gone.get(&channel.name)
            && (gone.1, gone.2) == (protocol, publisher_id)
        {
            return Ok(gone.0);
        }
        let number = u8::try_from(self.channels).map_err(|_| {
            format!(
                "channel {:?}: expected one of 256 numbers to be left, found none",
                channel.name
            )
        })?;
        self.channels += 1;
        Ok(number)
    }

    fn number_of_line(&mut self) -> Result<u16, String> {
        let number = u16::try_from(self.lines).map_err(|_| {
            "expected one of 65536 numbers of lines to be left, found none".to_owned()
        })?;
        self.lines += 1;
        Ok(number)
    }
}

fn identity(channel: &ChannelConfig) -> (u8, Protocol, Option<u16>) {
    (channel.number, channel.protocol, channel.publisher_id)
}

impl Config {
    /// How many shards there are, on threads of their own or on the workers'.
    pub fn shard_count(&self) -> usize {
        match self.handlers {
            Handlers::Shards => self.shards.len(),
            Handlers::Inline => self.workers.len(),
        }
    }

    /// The channel of this name.
    pub fn channel(&self, name: &str) -> Option<&ChannelConfig> {
        self.channels.iter().find(|channel| channel.name == name)
    }

    /// What differs from `running` and cannot change without a restart, each by its name.
    pub fn needs_restart(&self, running: &Self) -> Vec<String> {
        let sections = [
            ("name", self.name == running.name),
            ("[segment]", self.segment == running.segment),
            ("[limits]", self.limits == running.limits),
            ("[check]", self.check == running.check),
            ("[machines]", self.machines == running.machines),
            ("[record]", self.record == running.record),
            ("[intake]", self.intake == running.intake),
            ("[supervision]", self.supervision == running.supervision),
            ("handlers", self.handlers == running.handlers),
            ("[[shard]]", self.shards == running.shards),
        ];
        let differs = sections.into_iter().filter(|(_, same)| !same);
        let mut needs: Vec<_> = differs.map(|(name, _)| name.to_owned()).collect();
        needs.extend(self.workers_that_differ(running));
        let channels_aside =
            Self { channels: running.channels.clone(), log: running.log.clone(), ..self.clone() };
        if needs.is_empty() && channels_aside != *running {
            needs.push("what is neither [log] nor [[channel]]".to_owned());
        }
        needs.extend(self.names_that_are_not_their_own());
        if self.record.is_some() {
            needs.extend(self.channels_that_are_recorded(running));
        }
        for channel in &self.channels {
            if let Some(before) = running.channel(&channel.name) {
                needs.extend(channel.needs_restart(before));
            }
        }
        needs
    }

    fn workers_that_differ(&self, running: &Self) -> Vec<String> {
        let names = |config: &Self| config.workers.iter().map(|w| w.name.clone()).collect();
        let (names, before): (Vec<_>, Vec<_>) = (names(self), names(running));
        if names != before {
            return vec![format!("[[worker]] (expected {before:?}, found {names:?})")];
        }
        let both = self.workers.iter().zip(&running.workers);
        let differ = both.filter(|(worker, before)| worker != before);
        differ.map(|(worker, _)| format!("worker {:?}", worker.name)).collect()
    }

    /// A channel is known by its name.
    fn names_that_are_not_their_own(&self) -> Option<String> {
        let mut names = BTreeSet::new();
        let twice = self.channels.iter().find(|channel| !names.insert(&channel.name));
        twice.map(|channel| format!("two channels named {:?}", channel.name))
    }

    /// The recorder's folders and books are made at the start.
    fn channels_that_are_recorded(&self, running: &Self) -> Vec<String> {
        let names = |config: &Self| {
            config.channels.iter().map(|channel| channel.name.clone()).collect::<BTreeSet<_>>()
        };
        let (names, before) = (names(self), names(running));
        let differ = names.symmetric_difference(&before);
        differ.map(|name| format!("channel {name:?}, while [record] records")).collect()
    }
}

impl ChannelConfig {
    fn needs_restart(&self, before: &Self) -> Vec<String> {
        let window =
            |channel: &Self| (channel.recovery.window_packets, channel.recovery.window_bytes);
        let fields = [
            ("protocol", self.protocol == before.protocol),
            ("worker", self.worker == before.worker),
            ("publisher_id", self.publisher_id == before.publisher_id),
            ("date", self.date == before.date),
            ("recovery.window_packets or window_bytes", window(self) == window(before)),
        ];
        let differs = fields.into_iter().filter(|(_, same)| !same);
        differs.map(|(field, _)| format!("channel {:?}: {field}", self.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [(&str, u16); 3] = [("one", 1), ("two", 2), ("three", 3)];

    fn config(channels: &[(&str, u16)]) -> Config {
        let mut text =
            "[[worker]]\nname = \"w\"\ninterface = [{ name = \"lo\" }]\n[[shard]]\n".to_owned();
        for (name, port) in channels {
            text += &format!(
                "[[channel]]\nname = {name:?}\nprotocol = \"itch50\"\nworker = \"w\"\nline = [{{ \
                 name = \"A\", interface = \"lo\", group = \"239.0.0.1\", port = {port} }}]\n"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wirebook.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file).unwrap()
    }

    fn numbers_of(config: &Config) -> Vec<(&str, u8, u16)> {
        config.channels.iter().map(|c| (c.name.as_str(), c.number, c.lines[0].number)).collect()
    }

    #[test]
    fn what_stays_keeps_its_numbers_and_no_number_is_given_twice() {
        let running = config(&LINES);
        let mut numbers = Numbers::of(&running);
        let mut next = config(&[("three", 3), ("four", 4), ("two", 5)]);
        numbers.give(&mut next, &running).unwrap();
        // "one" is gone, and line 0 with it; "two" has another line, and its old number is gone.
        assert_eq!(numbers_of(&next), [("three", 2, 2), ("four", 3, 3), ("two", 1, 4)]);
        let mut again = config(&[("one", 1), ("three", 3), ("five", 2)]);
        numbers.give(&mut again, &next).unwrap();
        assert_eq!(numbers_of(&again), [("one", 0, 5), ("three", 2, 2), ("five", 4, 6)]);
    }

    #[test]
    fn numbers_run_out() {
        let running = config(&LINES);
        let mut numbers = Numbers { channels: 256, ..Numbers::of(&running) };
        let error = numbers.give(&mut config(&[("four", 4)]), &running).unwrap_err();
        assert!(error.contains("\"four\"") && error.contains("256"), "{error}");
        let mut numbers = Numbers { lines: 65_536, ..Numbers::of(&running) };
        assert!(numbers.give(&mut config(&[("one", 4)]), &running).is_err());
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let running = config(&LINES);
        assert!(config(&[("two", 9), ("six", 1)]).needs_restart(&running).is_empty());
        let mut next = config(&LINES);
        next.workers[0].core = Some(7);
        next.limits.orders += 1;
        next.channels[1].protocol = Protocol::IexDeep;
        next.channels[2].recovery.window_packets = 7;
        let needs = next.needs_restart(&running).join("; ");
        for words in ["[limits]", "worker \"w\"", "\"two\": protocol", "\"three\": recovery.window"]
        {
            assert!(needs.contains(words), "{needs}");
        }
        let needs = config(&[("one", 1), ("one", 2)]).needs_restart(&running);
        assert_eq!(needs, ["two channels named \"one\""]);
    }
}
