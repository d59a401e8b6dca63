//! A report as pictures: what an event costs, how long an answer takes, and how both change with connections and
//! projects.

use std::{fs, io, path::Path};

use super::{
    report::{Case, Figure, LoadReport, Report},
    svg::{Anchor, Canvas, colour},
    table::{exact, number},
};

/// A picture and the name of its file.
pub type Plot = (String, String);

const WIDTH: f64 = 760.0;
/// Room for the names to the left of bars, and for figures to the right of them.
const LEFT: f64 = 230.0;
const RIGHT: f64 = 130.0;
const BAR: f64 = 20.0;

/// Writes all pictures of a report to a folder, which is made if need be.
///
/// # Errors
/// When one cannot be written.
pub fn write(report: &Report, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (name, svg) in plots(report) {
        fs::write(dir.join(name), svg)?;
    }
    Ok(())
}

/// All pictures of a report.
#[must_use]
pub fn plots(report: &Report) -> Vec<Plot> {
    let mut all = Vec::new();
    all.extend(cost(report).map(|svg| ("cost.svg".to_owned(), svg)));
    for load in &report.loads {
        let name = format!("{}-{}", load.load, load.form);
        all.push((format!("latency-{name}.svg"), latency(load)));
        let by_connections = sweep(load, "connections", |case| case.connections as f64);
        all.extend(by_connections.map(|svg| (format!("connections-{name}.svg"), svg)));
        let by_projects = sweep(load, "projects", |case| case.projects as f64);
        all.extend(by_projects.map(|svg| (format!("projects-{name}.svg"), svg)));
    }
    all
}

/// What tells a case from the others of its load.
fn called(case: &Case, load: &LoadReport) -> String {
    let mut name = case.server.clone();
    if load.cases.iter().any(|other| other.connections != case.connections) {
        name.push_str(&format!(", {} conn.", case.connections));
    }
    match case.offered_per_s {
        Some(rate) => name.push_str(&format!(", {rate:.0}/s")),
        None if load.cases.iter().any(|other| other.offered_per_s.is_some()) => {
            name.push_str(", closed loop")
        }
        None => {}
    }
    if case.followers > 0 {
        name.push_str(&format!(", {} followers", case.followers));
    }
    name
}

/// CPU time per event: a group of bars for each load, each group on a scale of its own.
fn cost(report: &Report) -> Option<String> {
    let groups: Vec<(&LoadReport, Vec<(String, Figure)>)> =
        report.loads.iter().map(|load| (load, bars(load))).collect();
    let rows: usize = groups.iter().map(|(_, bars)| bars.len() + 2).sum();
    if groups.iter().all(|(_, bars)| bars.len() < 2) {
        return None;
    }
    let mut canvas = Canvas::new(WIDTH, 30.0 + rows as f64 * (BAR + 4.0));
    canvas.text(
        10.0,
        20.0,
        Anchor::Start,
        "CPU of the server per event, µs (median and range of the rounds)",
    );
    let mut y = 30.0;
    for (load, bars) in groups {
        y += BAR + 4.0;
        let title =
            format!("{} {}: {} events a request", load.load, load.form, exact(load.events_per_request));
        canvas.text(10.0, y - 6.0, Anchor::Start, &title);
        let most = bars.iter().map(|(_, figure)| figure.max).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / most;
        for (nth, (name, figure)) in bars.iter().enumerate() {
            canvas.text(LEFT - 8.0, y + 15.0, Anchor::End, name);
            canvas.bar(LEFT, y, figure.median * scale, BAR, colour(nth));
            let middle = y + BAR / 2.0;
            canvas.whisker((LEFT + figure.min * scale, middle), (LEFT + figure.max * scale, middle));
            canvas.text(LEFT + figure.max * scale + 8.0, y + 15.0, Anchor::Start, &number(figure.median));
            y += BAR + 4.0;
        }
        y += BAR + 4.0;
    }
    Some(canvas.finish())
}

/// The bars of a load: simd-json by itself, then every case whose CPU is known.
fn bars(load: &LoadReport) -> Vec<(String, Figure)> {
    let alone = ("simd-json alone, no server".to_owned(), load.simd_json_cpu_s_per_million_events);
    let cases = load
        .cases
        .iter()
        .filter_map(|case| Some((called(case, load), case.figures.cpu_s_per_million_events?)));
    std::iter::once(alone).chain(cases).collect()
}

/// A value's place on an axis whose steps are powers of ten.
struct LogAxis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl LogAxis {
    /// An axis of whole powers of ten around these values, drawn between two places.
    fn around(values: impl Iterator<Item = f64>, start: f64, end: f64) -> LogAxis {
        let exponents: Vec<f64> = values.filter(|v| *v > 0.0 && v.is_finite()).map(f64::log10).collect();
        let from = exponents.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let to = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        let (from, to) = if from.is_finite() { (from, to.max(from + 1.0)) } else { (0.0, 1.0) };
        LogAxis { from, to, start, end }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(f64::MIN_POSITIVE).log10() - self.from) / (self.to - self.from);
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// The powers of ten on it.
    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut exponent = self.from;
        while exponent <= self.to + 1e-9 {
            ticks.push(10_f64.powf(exponent));
            exponent += 1.0;
        }
        ticks
    }
}

const HEIGHT: f64 = 380.0;
const PLOT_LEFT: f64 = 70.0;
const PLOT_RIGHT: f64 = WIDTH - 230.0;
const PLOT_TOP: f64 = 40.0;
const PLOT_BOTTOM: f64 = HEIGHT - 50.0;

/// A frame with titles, horizontal grid lines, and the names of the series.
fn frame(title: &str, below: &str, y: &LogAxis, names: &[String]) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    canvas.text(10.0, 20.0, Anchor::Start, title);
    canvas.text(f64::midpoint(PLOT_LEFT, PLOT_RIGHT), HEIGHT - 12.0, Anchor::Middle, below);
    for tick in y.ticks() {
        let at = y.at(tick);
        canvas.grid((PLOT_LEFT, at), (PLOT_RIGHT, at));
        canvas.text(PLOT_LEFT - 6.0, at + 4.0, Anchor::End, &exact(tick));
    }
    for (nth, name) in names.iter().enumerate() {
        let at = PLOT_TOP + nth as f64 * 20.0;
        canvas.bar(PLOT_RIGHT + 14.0, at, 10.0, 10.0, colour(nth));
        canvas.text(PLOT_RIGHT + 30.0, at + 10.0, Anchor::Start, name);
    }
    canvas
}

/// Latency by share of requests: as many pixels for the slowest hundredth as for the slowest tenth.
fn latency(load: &LoadReport) -> String {
    let values = load.cases.iter().flat_map(|case| case.latency_curve.iter().map(|point| point.1 as f64));
    let y = LogAxis::around(values, PLOT_BOTTOM, PLOT_TOP);
    let shares =
        load.cases.iter().flat_map(|case| case.latency_curve.iter().map(|point| 1.0 / (1.0 - point.0)));
    let x = LogAxis::around(shares, PLOT_LEFT, PLOT_RIGHT);
    let names: Vec<String> = load.cases.iter().map(|case| called(case, load)).collect();
    let title = format!("{} {}: latency, µs", load.load, load.form);
    let mut canvas = frame(&title, "share of requests that were not slower", &y, &names);
    for tick in x.ticks() {
        canvas.grid((x.at(tick), PLOT_TOP), (x.at(tick), PLOT_BOTTOM));
        let percent = format!("{:.4}", 100.0 - 100.0 / tick);
        // As many digits as there are nines to show.
        let percent = format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'));
        canvas.text(x.at(tick), PLOT_BOTTOM + 16.0, Anchor::Middle, &percent);
    }
    for (nth, case) in load.cases.iter().enumerate() {
        let point = |&(share, us): &(f64, u64)| (x.at(1.0 / (1.0 - share)), y.at(us as f64));
        let points: Vec<(f64, f64)> = case.latency_curve.iter().map(point).collect();
        canvas.curve(&points, colour(nth));
    }
    canvas.finish()
}

/// CPU time per event against something that was varied; `None` if it was not.
fn sweep(load: &LoadReport, what: &str, varied: fn(&Case) -> f64) -> Option<String> {
    let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for case in &load.cases {
        let Some(figure) = case.figures.cpu_s_per_million_events else { continue };
        let name = case.server.split(", ").next().unwrap_or_default().to_owned();
        let point = (varied(case), figure.median);
        match series.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => series.push((name, vec![point])),
        }
    }
    // A server that was measured in one setting only is no curve.
    series.retain(|(_, points)| points.iter().any(|point| (point.0 - points[0].0).abs() > 0.5));
    if series.is_empty() {
        return None;
    }
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let x = LogAxis::around(all().map(|point| point.0), PLOT_LEFT, PLOT_RIGHT);
    let y = LogAxis::around(all().map(|point| point.1), PLOT_BOTTOM, PLOT_TOP);
    let names: Vec<String> = series.iter().map(|(name, _)| name.clone()).collect();
    let title = format!("{} {}: CPU of the server per event, µs", load.load, load.form);
    let mut canvas = frame(&title, what, &y, &names);
    for tick in x.ticks() {
        canvas.grid((x.at(tick), PLOT_TOP), (x.at(tick), PLOT_BOTTOM));
        canvas.text(x.at(tick), PLOT_BOTTOM + 16.0, Anchor::Middle, &exact(tick));
    }
    for (nth, (_, points)) in series.iter().enumerate() {
        let mut points: Vec<_> = points.iter().map(|&(at, cost)| (x.at(at), y.at(cost))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        canvas.curve(&points, colour(nth));
    }
    Some(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::report::sample;

    /// The texts of a picture, which must be one.
    fn texts(svg: &str) -> Vec<String> {
        let parsed = roxmltree::Document::parse(svg).expect("XML");
        assert!(parsed.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let texts = parsed.descendants().filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "text")));
        texts.filter_map(|n| n.text().map(str::to_owned)).collect()
    }

    #[test]
    fn every_picture_is_well_formed_and_says_what_it_shows() {
        let mut report = sample();
        let mut more = report.loads[0].cases[0].clone();
        (more.connections, more.server) = (1000, "a <b> & c".to_owned());
        let mut same = more.clone();
        same.connections = 10;
        report.loads[0].cases.extend([more, same]);
        let plots = plots(&report);
        let names: Vec<_> = plots.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cost.svg", "latency-single-json.svg", "connections-single-json.svg"]);
        let cost = texts(&plots[0].1);
        for part in ["simd-json alone, no server", "bare hyper, 256 conn.", "a <b> & c, 10 conn."] {
            assert!(cost.iter().any(|text| text == part), "{part}: {cost:?}");
        }
        assert!(texts(&plots[1].1).iter().any(|text| text == "99 %"), "{}", plots[1].1);
        assert!(texts(&plots[2].1).iter().any(|text| text == "connections"));
    }

    #[test]
    fn a_server_whose_cpu_is_unknown_has_no_bar_and_nothing_to_show_is_no_picture() {
        let mut report = sample();
        report.loads[0].cases.iter_mut().for_each(|case| case.figures.cpu_s_per_million_events = None);
        assert!(cost(&report).is_none() && sweep(&report.loads[0], "x", |_| 1.0).is_none());
        report.loads[0].cases.clear();
        texts(&latency(&report.loads[0]));
    }

    #[test]
    fn an_axis_begins_and_ends_at_powers_of_ten() {
        let axis = LogAxis::around([3.0, 450.0].into_iter(), 0.0, 300.0);
        let ticks: Vec<_> = axis.ticks().iter().map(|tick| tick.round()).collect();
        assert_eq!(ticks, [1.0, 10.0, 100.0, 1000.0]);
        assert!((axis.at(10.0) - 100.0).abs() < 1e-9 && (axis.at(0.0) - 0.0).abs() < 1e-9);
    }
}
