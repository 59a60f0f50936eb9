//! Where metrics are told.

use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the appliance tells the tools that watch.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Address and port of `/metrics`, `/healthz` and the status page; absent, there is none. Whoever
    /// reaches it may read it, so the loopback address is the one to name unless a firewall says who
    /// does.
    #[serde(deserialize_with = "address_by_text")]
    #[schemars(with = "Option<String>", example = &"127.0.0.1:9464")]
    pub listen: Option<SocketAddr>,
    /// The HdrHistogram interval log of all stages; absent, none is written.
    #[schemars(example = &"/var/log/wirebook/wirebook.hlog")]
    pub hlog: Option<PathBuf>,
    /// Seconds of each interval of that log.
    #[schemars(range(min = 1, max = 3_600))]
    pub hlog_interval_s: u64,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { listen: None, hlog: None, hlog_interval_s: 10 }
    }
}

impl MetricsConfig {
    pub(super) fn mistake(&self) -> Option<String> {
        let Self { hlog_interval_s, .. } = self;
        (!(1..=3_600).contains(hlog_interval_s)).then(|| {
            format!("metrics.hlog_interval_s: expected 1 to 3600, found {hlog_interval_s}")
        })
    }
}

fn address_by_text<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "expected an address and a port, as in \"127.0.0.1:9464\", found {text:?}"
        ))
    })
}
