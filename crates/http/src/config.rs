//! What the HTTP side can be told, checked once before it listens.

use crate::{address::TrustedProxies, paths::PathTable};
use forebay_control::LOOKUP_BYTES_MAX;
use std::{fmt, net::SocketAddr, time::Duration};

/// Whether connections begin with a PROXY protocol header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They begin with a request.
    #[default]
    Off,
    /// Those from trusted networks begin with a header, v1 or v2; others with a request.
    V1V2,
}

/// Sizes and counts that are refused when larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Of a request's body, and of what it inflates to.
    pub body_bytes_max: usize,
    /// Of the body of `/record`.
    pub record_bytes_max: usize,
    /// Of a lookup table.
    pub lookup_bytes_max: usize,
    /// Of the request line, a GET's data included, and the headers, together.
    pub head_bytes_max: usize,
    /// How much of a refused body is read and thrown away, so that its sender gets to read the answer.
    pub discard_bytes_max: usize,
    /// Levels of nesting in a record.
    pub depth_max: usize,
    /// Of one event under strict `/import`.
    pub event_bytes_max: usize,
    /// Events in one `/import` request.
    pub events_max: usize,
    /// Different tokens in one request; records under further ones are refused.
    pub tokens_max: usize,
    /// Connections open at once. A few more are accepted, to be told so.
    pub connections_max: usize,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            body_bytes_max: 10 << 20,
            record_bytes_max: 10 << 20,
            lookup_bytes_max: 100_000_000,
            // 64 KiB of request line and 32 KiB of headers.
            head_bytes_max: 96 << 10,
            discard_bytes_max: 16 << 20,
            depth_max: 128,
            event_bytes_max: 1 << 20,
            events_max: 2000,
            tokens_max: 2000,
            connections_max: 20_000,
        }
    }
}

/// How long a sender may take. Checked several times a second, so an end may come a little late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a request's line and headers, and for a PROXY protocol header.
    pub head: Duration,
    /// Between two reads of a body.
    pub body_idle: Duration,
    /// After this long, a body has to have come at [`Timeouts::body_bytes_per_second_min`] on average.
    pub body_grace: Duration,
    /// Bytes a second.
    pub body_bytes_per_second_min: u64,
    /// Between two requests on a connection. Longer than the idle timeout of load balancers in front
    /// (60 s is common), so that it is they who close.
    pub idle: Duration,
    /// For a sender to take bytes of an answer.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            head: Duration::from_secs(15),
            body_idle: Duration::from_secs(15),
            body_grace: Duration::from_secs(10),
            body_bytes_per_second_min: 512,
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

/// How a server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// How long `/health/ready` is red before the listeners close: as long as load balancers take to see it.
    pub ready_red: Duration,
    /// How long requests in flight may take after that.
    pub finish: Duration,
}

impl Default for DrainConfig {
    fn default() -> DrainConfig {
        DrainConfig { ready_red: Duration::ZERO, finish: Duration::from_secs(30) }
    }
}

/// Everything the HTTP side can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen for senders; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Where to answer health checks and metrics, instead of to loopback peers of `listen`.
    pub admin_listen: Option<SocketAddr>,
    /// Connections the kernel keeps waiting for each listener.
    pub backlog: u32,
    /// Runtimes, one thread each.
    pub cores: usize,
    /// Which paths the endpoints answer on.
    pub paths: PathTable,
    /// Whose word on client addresses is taken.
    pub trusted_proxies: TrustedProxies,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// Refuse events whose token belongs to no project, instead of keeping them unclaimed.
    pub strict_tokens: bool,
    /// See [`HttpLimits`].
    pub limits: HttpLimits,
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
    /// See [`DrainConfig`].
    pub drain: DrainConfig,
    /// The `Retry-After` of a 503, in whole seconds: some SDKs read nothing else.
    pub retry_after_s: u32,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            admin_listen: None,
            backlog: 4096,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            paths: PathTable::default(),
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: ProxyProtocol::Off,
            strict_tokens: false,
            limits: HttpLimits::default(),
            timeouts: Timeouts::default(),
            drain: DrainConfig::default(),
            retry_after_s: 2,
        }
    }
}

/// A configured value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfigError {
    /// Which.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What is accepted.
    pub accepted: String,
}

impl fmt::Display for HttpConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpConfigError { key, value, accepted } = self;
        write!(f, "http setting {key} is {value}: it must be {accepted}")
    }
}

impl std::error::Error for HttpConfigError {}

impl HttpConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be, with what is accepted.
    pub fn check(&self) -> Result<(), HttpConfigError> {
        let range = |key, value: u64, least: u64, most: u64| {
            let accepted = || format!("{least} to {most}");
            let wrong = || HttpConfigError { key, value: value.to_string(), accepted: accepted() };
            (least..=most).contains(&value).then_some(()).ok_or_else(wrong)
        };
        let time = |key, value: Duration| {
            let ms = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
            range(key, ms, 10, 86_400_000)
        };
        if self.listen.is_empty() {
            let accepted = "at least one address, such as 127.0.0.1:8080".to_owned();
            return Err(HttpConfigError { key: "listen", value: "empty".to_owned(), accepted });
        }
        if self.proxy_protocol != ProxyProtocol::Off && self.trusted_proxies == TrustedProxies::default() {
            let accepted =
                "used together with trusted_proxies: the header is read from those only".to_owned();
            return Err(HttpConfigError { key: "proxy_protocol", value: "on".to_owned(), accepted });
        }
        let limits = &self.limits;
        range("backlog", self.backlog.into(), 1, 65_535)?;
        range("cores", self.cores as u64, 1, 1024)?;
        range("limits.body_bytes_max", limits.body_bytes_max as u64, 1024, 256 << 20)?;
        range("limits.record_bytes_max", limits.record_bytes_max as u64, 1024, 256 << 20)?;
        range("limits.lookup_bytes_max", limits.lookup_bytes_max as u64, 1024, LOOKUP_BYTES_MAX)?;
        range("limits.head_bytes_max", limits.head_bytes_max as u64, 16 << 10, 1 << 20)?;
        range("limits.discard_bytes_max", limits.discard_bytes_max as u64, 0, 1 << 30)?;
        range("limits.depth_max", limits.depth_max as u64, 1, forebay_scan::DEPTH_MAX as u64)?;
        range("limits.event_bytes_max", limits.event_bytes_max as u64, 1024, 256 << 20)?;
        range("limits.events_max", limits.events_max as u64, 1, 1_000_000)?;
        range("limits.tokens_max", limits.tokens_max as u64, 1, 100_000)?;
        range("limits.connections_max", limits.connections_max as u64, 1, 10_000_000)?;
        range("retry_after_s", self.retry_after_s.into(), 1, 3600)?;
        time("timeouts.head_ms", self.timeouts.head)?;
        time("timeouts.body_idle_ms", self.timeouts.body_idle)?;
        time("timeouts.body_grace_ms", self.timeouts.body_grace)?;
        time("timeouts.idle_ms", self.timeouts.idle)?;
        time("timeouts.write_ms", self.timeouts.write)?;
        time("drain.finish_ms", self.drain.finish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(HttpConfig::default().check(), Ok(()));
    }

    #[test]
    fn a_value_that_cannot_be_is_named_with_what_is_accepted() {
        type Change = fn(&mut HttpConfig);
        let cases: [(Change, &str); 4] = [
            (|c| c.cores = 0, "cores is 0: it must be 1 to 1024"),
            (|c| c.listen.clear(), "listen is empty"),
            (|c| c.limits.depth_max = 500, "limits.depth_max is 500: it must be 1 to 128"),
            (|c| c.proxy_protocol = ProxyProtocol::V1V2, "together with trusted_proxies"),
        ];
        for (change, part) in cases {
            let mut config = HttpConfig::default();
            change(&mut config);
            let text = config.check().unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
