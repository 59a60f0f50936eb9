//! Configuration files.
//!
//! Holds for any text: it is a configuration from which lines can be made, or an error that names
//! the file.

use std::path::Path;
use wirebook::config::Config;
use wirebook::lines::Lines;

/// A configuration as text.
pub(crate) fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, Path::new("fuzzed.toml")) {
        Ok(config) => {
            let lines = Lines::of_config(&config, None);
            assert!(!lines.channels().is_empty() || config.channels.is_empty());
        }
        Err(error) => assert!(error.to_string().contains("fuzzed.toml"), "{error}"),
    }
}
