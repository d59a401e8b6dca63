//! What `/metrics` says, in the OpenMetrics text format.
//!
//! Nothing is counted here: each scrape reads the ledger, the log's statistics, the admission and the
//! cores' counters, and writes them out.

use crate::{collector::Collector, counters::Totals};
use forebay_log::{FLUSH_TIME_BOUNDS_US, GROUP_BYTES_BOUNDS, LaneStats, LogStats};
use forebay_route::{Counts, Owner};
use hyper::header::HeaderValue;
use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The format's own content type.
pub(crate) static CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// Projects that have series of their own; the others are added up under `other`.
const PROJECTS_MAX: usize = 1000;

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// All metrics as text.
pub(crate) fn text(collector: &Arc<Collector>) -> Result<String, fmt::Error> {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(collector))));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape(Arc<Collector>);

impl prometheus_client::collector::Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out { encoder };
        let collector = &*self.0;
        build(&mut out)?;
        events(&mut out, collector)?;
        connections(&mut out, collector)?;
        admission(&mut out, collector)?;
        messages(&mut out, collector)?;
        queries(&mut out, collector)?;
        log(&mut out, &collector.log.stats(), collector)
    }
}

struct Out<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Out<'_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        mut each: impl FnMut(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        each(&mut self.encoder.encode_descriptor(name, help, None, kind)?)
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut series = series.into_iter();
        self.family(name, help, MetricType::Counter, |metric| {
            series.try_for_each(|(labels, value)| {
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })
        })
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut series = series.into_iter();
        self.family(name, help, MetricType::Gauge, |metric| {
            series.try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(Vec::new(), value)])
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges(name, help, [(Vec::new(), value)])
    }
}

fn build(out: &mut Out<'_>) -> fmt::Result {
    let labels = vec![("version", env!("CARGO_PKG_VERSION"))];
    out.gauges("forebay_build_info", "The version that runs", [(labels, 1)])
}

fn events(out: &mut Out<'_>, collector: &Collector) -> fmt::Result {
    let now_ms = (collector.clock)();
    let owners = owners(collector.ledger.owners(now_ms));
    let each = |of: fn(&Counts) -> u64| {
        owners.iter().map(move |(owner, counts)| (vec![("project", owner.as_str())], of(counts)))
    };
    out.counters("forebay_events_received", "Events received, by project", each(|c| c.received))?;
    out.counters("forebay_events_stored", "Events made durable, by project", each(|c| c.stored))?;
    let rejected = owners.iter().flat_map(|(owner, counts)| {
        counts
            .rejected
            .iter()
            .map(|(reason, &count)| (vec![("project", owner.as_str()), ("reason", reason.as_str())], count))
    });
    out.counters("forebay_events_rejected", "Events refused, by project and reason", rejected)?;
    let dropped = owners.iter().flat_map(|(owner, counts)| {
        counts
            .dropped
            .iter()
            .map(|(rule, &count)| (vec![("project", owner.as_str()), ("rule", rule.as_str())], count))
    });
    out.counters("forebay_events_dropped", "Events dropped by rule, by project", dropped)?;
    out.counters("forebay_event_bytes_received", "Bytes of events received", each(|c| c.received_bytes))?;
    out.counters("forebay_event_bytes_stored", "Bytes of events made durable", each(|c| c.stored_bytes))?;
    let totals = collector.ledger.totals(now_ms);
    out.gauge("forebay_events_in_flight", "Events received and not yet settled", totals.in_flight())?;
    let help = "Events that left without a verdict: always 0, or the server has a defect";
    out.gauge("forebay_unaccounted_events", help, totals.unaccounted)?;
    out.gauge("forebay_projects", "Projects known", collector.registry.projects_len() as u64)
}

/// The largest owners by name, the rest as one.
fn owners(mut owners: Vec<(Owner, Counts)>) -> Vec<(String, Counts)> {
    let mut rest = Counts::default();
    if owners.len() > PROJECTS_MAX {
        owners.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.received));
        for (_, counts) in owners.drain(PROJECTS_MAX..) {
            counts.iter().for_each(|(kind, events, bytes)| rest.add(kind, events, bytes));
        }
    }
    let mut named: Vec<_> = owners.into_iter().map(|(owner, counts)| (owner.to_string(), counts)).collect();
    if rest.received > 0 {
        named.push(("other".to_owned(), rest));
    }
    named
}

fn connections(out: &mut Out<'_>, collector: &Collector) -> fmt::Result {
    let totals = Totals::of(collector.cores.iter().map(|core| &**core));
    let answers = totals.answers.iter().map(|(endpoint, status, count)| {
        (vec![("endpoint", *endpoint), ("status", status.as_str())], *count)
    });
    out.counters("forebay_http_answers", "Answers, by endpoint and status", answers)?;
    out.gauge("forebay_http_connections", "Connections open", totals.open)?;
    out.counter("forebay_http_connections_accepted", "Connections accepted", totals.accepted)?;
    out.counter("forebay_http_connections_refused", "Connections over the limit", totals.refused)?;
    out.counter("forebay_http_connections_cut", "Connections cut for taking too long", totals.cut)?;
    out.gauge("forebay_ready", "1 while requests may come", collector.ready().is_ok().into())
}

/// What was sent to people: counted in memory, so that a scrape does not wait for the store.
fn messages(out: &mut Out<'_>, collector: &Collector) -> fmt::Result {
    let stats = collector.control.message_stats();
    let label = |channel| vec![("channel", channel)];
    let sent = [(label("mail"), stats.mails_sent), (label("text"), stats.texts_sent)];
    out.counters("forebay_messages_sent", "Messages to people that were sent, by channel", sent)?;
    let failed = [(label("mail"), stats.mails_failed), (label("text"), stats.texts_failed)];
    out.counters("forebay_messages_failed", "Messages to people that were given up, by channel", failed)?;
    out.gauges(
        "forebay_messages_waiting",
        "Messages to people that wait to be sent",
        [(vec![], stats.waiting)],
    )
}

fn admission(out: &mut Out<'_>, collector: &Collector) -> fmt::Result {
    let admission = &collector.admission;
    let sheds = admission.sheds();
    out.gauge("forebay_bytes_in_flight", "Bytes of requests in flight", admission.bytes_in_flight())?;
    let limit = admission.limits().server_bytes;
    out.gauge("forebay_bytes_in_flight_limit", "The most bytes of requests in flight", limit)?;
    let scopes = [("server", sheds.server), ("lane", sheds.lane), ("project", sheds.project)];
    let scopes = scopes.map(|(scope, count)| (vec![("scope", scope)], count));
    out.counters("forebay_requests_shed", "Requests refused for load, by what was full", scopes)
}

fn queries(out: &mut Out<'_>, collector: &Collector) -> fmt::Result {
    let counters = &collector.queries;
    let of = |counter: &AtomicU64| counter.load(Relaxed);
    out.counter("forebay_queries", "Exports and other queries let in", of(&counters.admitted))?;
    out.gauge(
        "forebay_queries_running",
        "Of them, how many run or wait for their turn",
        of(&counters.running),
    )?;
    out.counter(
        "forebay_queries_stalled",
        "Exports given up because their reader took nothing for too long",
        of(&counters.stalled),
    )?;
    let reasons = [
        ("project_concurrent", &counters.refused_concurrent),
        ("project_hour", &counters.refused_hour),
        ("server_concurrent", &counters.refused_turns),
    ];
    let reasons = reasons.map(|(reason, counter)| (vec![("reason", reason)], of(counter)));
    out.counters("forebay_queries_refused", "Queries answered 429, by which limit", reasons)
}

fn log(out: &mut Out<'_>, stats: &LogStats, collector: &Collector) -> fmt::Result {
    let lanes = stats.lanes.as_slice();
    let names: Vec<String> = lanes.iter().map(|lane| lane.lane.to_string()).collect();
    let each = |of: fn(&LaneStats) -> u64| {
        lanes.iter().zip(&names).map(move |(lane, name)| (vec![("lane", name.as_str())], of(lane)))
    };
    type Series = (&'static str, &'static str, fn(&LaneStats) -> u64);
    let counters: [Series; 13] = [
        ("forebay_log_frames", "Frames committed", |l| l.frames),
        ("forebay_log_events", "Records committed", |l| l.events),
        ("forebay_log_payload_bytes", "Payload bytes committed", |l| l.payload_bytes),
        ("forebay_log_device_bytes", "Bytes written by commits, with headers and padding", |l| {
            l.device_bytes
        }),
        ("forebay_log_prepared_bytes", "Bytes written by preparing segments", |l| l.prepared_bytes),
        ("forebay_log_flushes", "Flushes that succeeded", |l| l.flushes),
        ("forebay_log_failed_flushes", "Flushes that failed", |l| l.failed_flushes),
        ("forebay_log_failed_events", "Events whose append failed", |l| l.failed_events),
        ("forebay_log_cut_tails", "Torn tails cut at the last start", |l| l.cut_tails),
        ("forebay_log_cut_bytes", "Bytes of torn tails", |l| l.cut_bytes),
        ("forebay_log_expired_segments", "Segments removed by retention", |l| l.expired_segments),
        ("forebay_log_expired_frames", "Frames removed by retention", |l| l.expired_frames),
        ("forebay_log_expired_events", "Events removed by retention", |l| l.expired_events),
    ];
    for (name, help, of) in counters {
        out.counters(name, help, each(of))?;
    }
    let gauges: [Series; 9] = [
        ("forebay_log_failing_since_timestamp_ms", "Since when flushes fail; 0 while they do not", |l| {
            l.failing_since_ms.unwrap_or(0)
        }),
        ("forebay_log_damaged_ranges", "Damaged ranges of acknowledged data", |l| l.damaged_ranges),
        ("forebay_log_damaged_events", "Events in damaged ranges", |l| l.damaged_events),
        ("forebay_log_queue_bytes", "Bytes waiting or being committed", |l| l.queue_bytes),
        ("forebay_log_durable_lsn", "The newest durable frame", |l| l.durable_lsn.0),
        ("forebay_log_next_seq", "The sequence after the newest durable record", |l| l.next_seq.0),
        ("forebay_log_segments", "Segments", |l| l.segments),
        ("forebay_log_disk_bytes", "Bytes of segments on disk", |l| l.bytes_on_disk),
        ("forebay_log_oldest_timestamp_ms", "When the oldest segment was put to use", |l| {
            l.oldest_ms.unwrap_or(0)
        }),
    ];
    for (name, help, of) in gauges {
        out.gauges(name, help, each(of))?;
    }
    let help = "How far the clock has jumped ahead of the time that retention by age goes by";
    out.gauge("forebay_log_clock_ahead_seconds", help, stats.clock_ahead_ms / 1000)?;
    let health = collector.log.health();
    let able: Vec<_> = health.lanes.iter().map(|l| (l.lane.to_string(), l.unable.is_none())).collect();
    let able = able.iter().map(|(lane, able)| (vec![("lane", lane.as_str())], u64::from(*able)));
    out.gauges("forebay_log_able", "1 while the lane can store", able)?;
    histograms(out, lanes, &names)
}

fn histograms(out: &mut Out<'_>, lanes: &[LaneStats], names: &[String]) -> fmt::Result {
    let help = "Commits, by bytes";
    out.family("forebay_log_group_bytes", help, MetricType::Histogram, |metric| {
        let bounds = GROUP_BYTES_BOUNDS.map(|bytes| bytes as f64);
        lanes.iter().zip(names).try_for_each(|(lane, name)| {
            histogram(metric, name, &bounds, &lane.group_bytes, lane.device_bytes as f64)
        })
    })?;
    let help = "Commits, by how long their flush took";
    out.family("forebay_log_flush_seconds", help, MetricType::Histogram, |metric| {
        let bounds = FLUSH_TIME_BOUNDS_US.map(|us| us as f64 / 1e6);
        lanes.iter().zip(names).try_for_each(|(lane, name)| {
            histogram(metric, name, &bounds, &lane.flush_time, lane.flush_time_sum_us as f64 / 1e6)
        })
    })
}

fn histogram(
    metric: &mut MetricEncoder<'_>,
    lane: &str,
    bounds: &[f64],
    counts: &[u64],
    sum: f64,
) -> fmt::Result {
    // As `+Inf`: without that bucket no reader can work out a quantile.
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
    let labels = vec![("lane", lane)];
    metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_record::ProjectId;

    #[test]
    fn many_projects_have_bounded_series_and_lose_no_count() {
        let many = (1..=PROJECTS_MAX as u64 + 5).map(|id| {
            let counts = Counts { received: id, stored: id, ..Counts::default() };
            (Owner::Project(ProjectId::new(id).unwrap()), counts)
        });
        let named = owners(many.collect());
        assert_eq!(named.len(), PROJECTS_MAX + 1);
        let total: u64 = named.iter().map(|(_, counts)| counts.received).sum();
        assert_eq!(total, (1..=PROJECTS_MAX as u64 + 5).sum::<u64>());
        assert_eq!(named.last().map(|(name, counts)| (name.as_str(), counts.received)), Some(("other", 15)));
    }
}
