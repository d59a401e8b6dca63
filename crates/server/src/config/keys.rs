//! Every setting there is: its name, what it accepts, what it is for.

use super::{
    LogFormat,
    key::{Key, count, flag, ms, some, text, texts, whole},
    keys_people,
};
use forebay_http::{ProxyProtocol, TrustedProxies};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The names of all settings.
#[must_use]
pub fn names() -> Vec<&'static str> {
    all().map(|k| k.name).collect()
}

/// All settings, by section.
pub fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(keys_people::KEYS)
}

const ADDRESS: &str = "an address with a port, such as 127.0.0.1:8080 or [::]:8080";
const DAY: u64 = 24 * 3600;

/// A row for the paths that one endpoint answers on.
macro_rules! paths {
    ($endpoint:literal) => {
        texts(
            concat!("http.paths.", $endpoint),
            "paths such as \"/track\"",
            |c, list| {
                c.renamed_paths.push(($endpoint.to_owned(), list.to_vec()));
                Some(())
            },
            "Paths this endpoint answers on, instead of its standard one",
        )
    };
}

/// A day in milliseconds: no timeout is longer.
const DAY_MS: u64 = DAY * 1000;

/// What the server is and takes in; what reaches people is in [`keys_people`].
const KEYS: &[Key] = &[
    text(
        "data_dir",
        "a directory",
        |c, s| {
            c.data_dir = PathBuf::from(s);
            (!s.is_empty()).then_some(())
        },
        "Where everything lies",
    ),
    texts(
        "listen",
        "addresses with ports, such as 127.0.0.1:8080 or [::]:8080",
        |c, list| {
            c.http.listen = list.iter().map(|s| s.parse().ok()).collect::<Option<_>>()?;
            (!list.is_empty()).then_some(())
        },
        "Where senders connect; port 0 takes a free one",
    ),
    text(
        "admin_listen",
        ADDRESS,
        |c, s| {
            c.http.admin_listen = if s.is_empty() { None } else { Some(s.parse::<SocketAddr>().ok()?) };
            Some(())
        },
        "Where health checks and metrics are answered, instead of to loopback peers of `listen`",
    ),
    flag(
        "console.enabled",
        |c, on| c.console_enabled = on,
        "Whether the web console is served, where `admin_listen` says or else where senders connect",
    ),
    text(
        "console.public_url",
        "an address such as https://events.example.com, or nothing",
        |c, s| {
            let is_url = s.starts_with("https://") || s.starts_with("http://");
            c.console.public_url = is_url.then(|| s.to_owned());
            (is_url || s.is_empty()).then_some(())
        },
        "Where senders reach this server, as the console's examples show it",
    ),
    flag(
        "strict_tokens",
        |c, on| c.http.strict_tokens = on,
        "Refuse events whose token belongs to no project, instead of keeping them unclaimed",
    ),
    whole("http.cores", 1, 1024, |c, n| c.http.cores = count(n), "Runtimes, one thread each"),
    whole(
        "http.backlog",
        1,
        65_535,
        |c, n| c.http.backlog = u32::try_from(n).unwrap_or(u32::MAX),
        "Connections the kernel keeps waiting for each listener",
    ),
    texts(
        "http.trusted_proxies",
        "networks such as 10.0.0.0/8 or addresses",
        |c, list| {
            c.http.trusted_proxies = TrustedProxies::parse(list).ok()?;
            Some(())
        },
        "Whose word on client addresses is taken",
    ),
    text(
        "http.proxy_protocol",
        "\"off\" or \"v1v2\"",
        |c, s| {
            c.http.proxy_protocol = match s {
                "off" => ProxyProtocol::Off,
                "v1v2" => ProxyProtocol::V1V2,
                _ => return None,
            };
            Some(())
        },
        "Whether connections from trusted proxies begin with a PROXY protocol header",
    ),
    whole(
        "http.retry_after_s",
        1,
        3600,
        |c, n| c.http.retry_after_s = u32::try_from(n).unwrap_or(u32::MAX),
        "When a sender that got a 503 should try again",
    ),
    whole(
        "http.limits.body_bytes_max",
        1024,
        256 << 20,
        |c, n| c.http.limits.body_bytes_max = count(n),
        "Of a request's body, and of what it inflates to",
    ),
    whole(
        "http.limits.record_bytes_max",
        1024,
        256 << 20,
        |c, n| c.http.limits.record_bytes_max = count(n),
        "Of the body of /record",
    ),
    whole(
        "http.limits.lookup_bytes_max",
        1024,
        1 << 30,
        |c, n| c.http.limits.lookup_bytes_max = count(n),
        "Of a lookup table",
    ),
    whole(
        "http.limits.head_bytes_max",
        16 << 10,
        1 << 20,
        |c, n| c.http.limits.head_bytes_max = count(n),
        "Of a request's line and headers together",
    ),
    whole(
        "http.limits.discard_bytes_max",
        0,
        1 << 30,
        |c, n| c.http.limits.discard_bytes_max = count(n),
        "How much of a refused body is read and thrown away",
    ),
    whole(
        "http.limits.depth_max",
        1,
        128,
        |c, n| c.http.limits.depth_max = count(n),
        "Levels of nesting in a record",
    ),
    whole(
        "http.limits.event_bytes_max",
        1024,
        256 << 20,
        |c, n| c.http.limits.event_bytes_max = count(n),
        "Of one event under strict /import",
    ),
    whole(
        "http.limits.events_max",
        1,
        1_000_000,
        |c, n| c.http.limits.events_max = count(n),
        "Events in one /import request",
    ),
    whole(
        "http.limits.tokens_max",
        1,
        100_000,
        |c, n| c.http.limits.tokens_max = count(n),
        "Different tokens in one request",
    ),
    whole(
        "http.limits.connections_max",
        1,
        10_000_000,
        |c, n| c.http.limits.connections_max = count(n),
        "Connections open at once",
    ),
    whole(
        "http.timeouts.head_ms",
        10,
        DAY_MS,
        |c, n| c.http.timeouts.head = ms(n),
        "For a request's line and headers",
    ),
    whole(
        "http.timeouts.body_idle_ms",
        10,
        DAY_MS,
        |c, n| c.http.timeouts.body_idle = ms(n),
        "Between two reads of a body",
    ),
    whole(
        "http.timeouts.body_grace_ms",
        10,
        DAY_MS,
        |c, n| c.http.timeouts.body_grace = ms(n),
        "After this long a body must have come at the least rate",
    ),
    whole(
        "http.timeouts.body_bytes_per_second_min",
        0,
        1 << 30,
        |c, n| c.http.timeouts.body_bytes_per_second_min = n,
        "The least rate of a body",
    ),
    whole(
        "http.timeouts.idle_ms",
        10,
        DAY_MS,
        |c, n| c.http.timeouts.idle = ms(n),
        "Between two requests on a connection",
    ),
    whole(
        "http.timeouts.write_ms",
        10,
        DAY_MS,
        |c, n| c.http.timeouts.write = ms(n),
        "For a sender to take bytes of an answer",
    ),
    whole(
        "http.drain.ready_red_ms",
        0,
        DAY_MS,
        |c, n| c.http.drain.ready_red = ms(n),
        "How long a stopping server answers `not ready` before it stops accepting",
    ),
    whole(
        "http.drain.finish_ms",
        10,
        DAY_MS,
        |c, n| c.http.drain.finish = ms(n),
        "How long requests under way may take after that",
    ),
    paths!("track"),
    paths!("engage"),
    paths!("groups"),
    paths!("import"),
    paths!("record"),
    paths!("settings"),
    paths!("flags"),
    paths!("lookup_tables"),
    paths!("decide"),
    paths!("root"),
    whole(
        "admission.server_bytes_max",
        1 << 20,
        1 << 40,
        |c, n| c.admission.server_bytes = n,
        "Request bytes in flight in the whole server; more get 503",
    ),
    whole(
        "admission.lane_bytes_max",
        1 << 20,
        1 << 40,
        |c, n| c.admission.lane_bytes = n,
        "Request bytes in flight for one lane",
    ),
    whole(
        "admission.project_bytes_max",
        1 << 20,
        1 << 40,
        |c, n| c.admission.project_bytes = n,
        "Request bytes in flight for one project",
    ),
    whole(
        "log.lanes",
        1,
        1024,
        |c, n| c.log.lanes = u16::try_from(n).unwrap_or(u16::MAX),
        "Append streams; projects are sharded over them",
    ),
    text(
        "log.backend",
        "\"direct\", \"pwrite\" or \"mapped\"",
        |c, s| {
            c.log.backend = s.parse().ok()?;
            Some(())
        },
        "How groups are committed; `forebay bench disk` shows which is faster here",
    ),
    whole(
        "log.segment_bytes_min",
        1 << 20,
        1 << 30,
        |c, n| c.log.segment_bytes_min = n,
        "Size of a lane's first segments; sizes double from here as they are filled",
    ),
    whole(
        "log.segment_bytes_max",
        1 << 20,
        1 << 30,
        |c, n| c.log.segment_bytes_max = n,
        "Size of the largest segment",
    ),
    whole(
        "log.group_bytes_max",
        64 << 10,
        256 << 20,
        |c, n| c.log.group_bytes_max = count(n),
        "The most bytes in one commit group",
    ),
    whole(
        "log.queue_bytes_max",
        64 << 10,
        1 << 36,
        |c, n| c.log.queue_bytes_max = count(n),
        "The most bytes waiting in one lane; more get 503",
    ),
    whole(
        "log.queue_len_max",
        1,
        1 << 20,
        |c, n| c.log.queue_len_max = count(n),
        "The most appends waiting in one lane; more get 503",
    ),
    whole(
        "log.flush_linger_us",
        0,
        5000,
        |c, n| c.log.linger = Duration::from_micros(n),
        "While requests wait several at a time, commits of a lane begin at least so far apart",
    ),
    whole(
        "log.heartbeat_ms",
        1,
        3_600_000,
        |c, n| c.log.heartbeat = ms(n),
        "How long a lane is idle before it proves its newest group",
    ),
    whole(
        "log.flush_delay_us",
        0,
        10_000_000,
        |c, n| c.log.flush_delay = Duration::from_micros(n),
        "Lets every flush take at least so long: for tests, and benchmarks of slower disks",
    ),
    whole(
        "retention.age_days",
        0,
        36_500,
        |c, n| c.log.retention.age = some(n).map(|days| Duration::from_secs(days * DAY)),
        "How long events are kept; 0 is for ever",
    ),
    whole(
        "retention.bytes_max",
        0,
        u64::MAX,
        |c, n| c.log.retention.bytes = some(n),
        "The most bytes kept, the oldest go first; 0 is no limit",
    ),
    whole(
        "unclaimed.age_days",
        0,
        36_500,
        |c, n| c.log.unclaimed.age = some(n).map(|days| Duration::from_secs(days * DAY)),
        "How long events of unknown tokens are kept; 0 is for ever",
    ),
    whole(
        "unclaimed.bytes_max",
        0,
        u64::MAX,
        |c, n| c.log.unclaimed.bytes = some(n),
        "The most bytes of events of unknown tokens; 0 is no limit",
    ),
    whole(
        "export.concurrent_max",
        2,
        1024,
        |c, n| c.queries.concurrent_max = count(n),
        "Exports and other queries that read at once; more wait",
    ),
    whole(
        "export.project_concurrent_max",
        1,
        100_000,
        |c, n| c.queries.project_concurrent_max = u32::try_from(n).unwrap_or(u32::MAX),
        "Queries of one project at once; more get 429; less than export.concurrent_max, three quarters of it unless said",
    ),
    whole(
        "export.stall_timeout_ms",
        100,
        86_400_000,
        |c, n| c.queries.stall_timeout = ms(n),
        "For an export's reader to take the next 128 KiB; then the export is given up and the connection closed",
    ),
    whole(
        "export.project_hour_max",
        0,
        1_000_000_000,
        |c, n| c.queries.project_hour_max = u32::try_from(n).unwrap_or(u32::MAX),
        "Queries of one project within an hour; more get 429; 0 is no limit",
    ),
    text(
        "logging.level",
        "trace, debug, info, warn, error or a filter such as \"info,forebay_log=debug\"",
        |c, s| {
            c.log_level = s.parse::<tracing_subscriber::EnvFilter>().ok().map(|_| s.to_owned())?;
            (!s.is_empty()).then_some(())
        },
        "What is logged to stderr",
    ),
    text(
        "logging.format",
        "\"auto\" (text on a terminal, JSON otherwise), \"text\" or \"json\"",
        |c, s| {
            c.log_format = match s {
                "auto" => LogFormat::Auto,
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return None,
            };
            Some(())
        },
        "How log lines look",
    ),
];
