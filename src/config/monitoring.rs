//! `[prometheus]` and `[stats]`: where metrics can be read, and how far back they look.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::chttpd::bind_address;
use super::reader::Reader;

/// `[prometheus]` and `[stats]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitoringSettings {
    /// Where metrics are shown to anybody, besides the server's own address.
    pub additional_address: Option<SocketAddr>,
    /// How many seconds back histograms look.
    pub interval_s: u64,
}

impl MonitoringSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["prometheus"]);
        let additional = section.boolean("additional_port", false);
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let expected = "an IP address, localhost or any";
        let address = section.parsed("bind_address", localhost, expected, bind_address);
        let port = section.number("port", 17_986, 0..=u16::MAX);
        let interval_s = reader.section(&["stats"]).number("interval", 10, 1..=60);
        let additional_address = additional.then_some(SocketAddr::new(address, port));
        Self { additional_address, interval_s }
    }
}
