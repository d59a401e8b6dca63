//! What a person reads when a server starts: where it listens, what it found, what is durable and what is
//! not, and on first start how to send the first event and read it back.

use crate::config::Config;
use forebay_control::{CreatedProject, SetupCode};
use forebay_log::Recovery;
use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
};

/// So many damaged places of a lane get a line each; of more there is only the number.
const DAMAGED_LINES_MAX: usize = 20;

/// What a start came to.
#[derive(Clone)]
pub struct Report {
    /// Where senders connect; at least one.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) admin_addr: Option<SocketAddr>,
    pub(crate) config: Config,
    pub(crate) recovery: Recovery,
    pub(crate) projects: usize,
    /// Made because there was none.
    pub(crate) first_project: Option<CreatedProject>,
    /// While there are no people: what sets up the console.
    pub(crate) setup_code: Option<SetupCode>,
}

impl Report {
    /// Where the console is, if it is served.
    #[must_use]
    pub fn console_url(&self) -> Option<String> {
        let at = self.admin_addr.unwrap_or_else(|| self.addr());
        self.config.console_enabled.then(|| format!("{}/console", url(at)))
    }

    /// The link by which the first person sets up the console. It works once.
    #[must_use]
    pub fn setup_link(&self) -> Option<String> {
        let code = self.setup_code.as_ref()?;
        Some(format!("{}/setup?code={}", self.console_url()?, code.code))
    }

    /// The first address.
    pub(crate) fn addr(&self) -> SocketAddr {
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        self.addresses.first().copied().unwrap_or(none)
    }
}

/// Writes the report to stderr, where it does not mix with results.
pub(crate) fn write(report: &Report) {
    let mut stderr = std::io::stderr().lock();
    let text = text(report, stderr.is_terminal());
    // A start does not fail because nobody reads.
    let _ = stderr.write_all(text.as_bytes());
}

/// A secret is shown to a person at a terminal only: anything else is kept somewhere.
fn text(report: &Report, terminal: bool) -> String {
    let mut text = String::new();
    compose(report, terminal, &mut text).expect("a String takes every character");
    text
}

fn compose(report: &Report, terminal: bool, out: &mut String) -> std::fmt::Result {
    let Report { addresses, admin_addr, config, recovery, projects, first_project, .. } = report;
    let dir = absolute(&config.data_dir);
    let urls: Vec<_> = addresses.iter().map(|addr| format!("http://{addr}")).collect();
    writeln!(out, "forebay {} listens on {}", env!("CARGO_PKG_VERSION"), urls.join(", "))?;
    if let Some(admin) = admin_addr {
        writeln!(out, "  health and metrics  http://{admin}")?;
    }
    if let Some(console) = report.console_url() {
        writeln!(out, "  console             {console}")?;
    }
    let kind = file_system(&config.data_dir).map_or(String::new(), |kind| format!(" ({kind})"));
    writeln!(out, "  data                {dir}{kind}")?;
    writeln!(out, "  projects            {projects}")?;
    write_recovery(recovery, out)?;
    writeln!(
        out,
        "  durable             every event answered with success: on disk before the answer ({} {}, {} commits)",
        config.log.lanes,
        if config.log.lanes == 1 { "lane" } else { "lanes" },
        config.log.backend
    )?;
    writeln!(
        out,
        "  not durable         events not answered yet; counts of the last second's refusals after a crash; a disk that \
         lies about flushes"
    )?;
    if let Some(project) = first_project {
        write_first_steps(&url(report.addr()), project, &dir, terminal, out)?;
    }
    if let Some(link) = report.setup_link() {
        writeln!(out)?;
        writeln!(out, "Nobody has set up the console yet. Open this once, within a day, in a browser:")?;
        if terminal {
            writeln!(out, "  {link}")?;
        } else {
            let (dir, forebay) = (quoted(&dir), program());
            writeln!(
                out,
                "  not shown in a log: `{forebay} owner setup-link --data-dir {dir}` prints a link"
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_recovery(recovery: &Recovery, out: &mut String) -> std::fmt::Result {
    let records: u64 = recovery.lanes.iter().map(|l| l.next_seq.0).sum();
    let segments: usize = recovery.lanes.iter().map(|l| l.segments).sum();
    writeln!(
        out,
        "  log                 {records} records so far, {segments} segments, opened in {:.1?}",
        recovery.took
    )?;
    for lane in &recovery.lanes {
        if let Some(cut) = &lane.cut {
            let copy = cut.copy.as_deref().map_or("no copy could be made".into(), Path::to_string_lossy);
            writeln!(
                out,
                "  cut                 lane {}: {} bytes of an unfinished write, never acknowledged ({copy})",
                lane.lane, cut.bytes
            )?;
        }
        for damage in lane.damage.iter().take(DAMAGED_LINES_MAX) {
            writeln!(
                out,
                "  DAMAGED             lane {}, segment {}, bytes {}..{}: {}; {} events cannot be read. `forebay log \
                 verify` has the details",
                lane.lane,
                damage.segment,
                damage.bytes.start,
                damage.bytes.end,
                damage.what,
                damage.events()
            )?;
        }
        if let more @ 1.. = lane.damage.len().saturating_sub(DAMAGED_LINES_MAX) {
            writeln!(
                out,
                "  DAMAGED             lane {}: {more} more places. `forebay log verify` has them",
                lane.lane
            )?;
        }
    }
    Ok(())
}

fn write_first_steps(
    url: &str,
    project: &CreatedProject,
    dir: &str,
    terminal: bool,
    out: &mut String,
) -> std::fmt::Result {
    let CreatedProject { id, name, token, api_secret, .. } = project;
    let event = format!(
        r#"{{"event":"Hello","properties":{{"token":"{token}","distinct_id":"me","$insert_id":"hello-1"}}}}"#
    );
    let day = "$(date -u +%F)";
    writeln!(out)?;
    writeln!(out, "First start: made project {id} ({name}).")?;
    writeln!(out, "  token       {token}   (public: goes into the apps that send)")?;
    let (dir, forebay) = (quoted(dir), program());
    if terminal {
        writeln!(out, "  API secret  {api_secret}   (reads everything)")?;
    } else {
        writeln!(
            out,
            "  API secret  not shown in a log: `{forebay} project reveal-secret {id} --data-dir {dir}` shows it"
        )?;
    }
    writeln!(out)?;
    writeln!(out, "Send an event (the answer is 1 once it is on disk):")?;
    writeln!(out, "  curl {url}/track -H 'Content-Type: application/json' -d '{event}'")?;
    writeln!(out)?;
    writeln!(out, "Read it back:")?;
    let secret = if terminal { api_secret } else { "API_SECRET" };
    writeln!(out, "  {forebay} export --project {id} --from-date {day} --to-date {day} --data-dir {dir}")?;
    writeln!(out, "  curl -u {secret}: \"{url}/api/2.0/export?from_date={day}&to_date={day}\"")?;
    writeln!(out)
}

/// This program as it was called, so that a pasted line finds it too.
fn program() -> String {
    std::env::args().next().map_or_else(|| "forebay".to_owned(), |name| quoted(&name))
}

/// A URL that works on this machine for what listens on all addresses.
fn url(addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", addr.port())
    } else {
        format!("http://{addr}")
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).map_or_else(|_| path.display().to_string(), |p| p.display().to_string())
}

/// The name of the file system a path lies on, where its number is a well-known one.
fn file_system(path: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    Some(match u64::try_from(kind).ok()? & 0xffff_ffff {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0x794c_7630 => "overlayfs: mount a volume for real data",
        0x0102_1994 => "tmpfs: lost at the next reboot",
        0x6969 => "nfs",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted() {
        for (path, shell) in [("/d/x-1.y", "/d/x-1.y"), ("/my data", "'/my data'"), ("/it's", r"'/it'\''s'")]
        {
            assert_eq!(quoted(path), shell);
        }
        assert_eq!(url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
    }

    #[test]
    fn the_first_start_says_how_to_send_and_how_to_read_back() {
        let project = CreatedProject {
            id: 1,
            name: "default".into(),
            token: "tok".into(),
            api_key: "key".into(),
            api_secret: "sec".into(),
        };
        let mut report = Report {
            addresses: vec!["127.0.0.1:8080".parse().unwrap()],
            admin_addr: None,
            config: Config::new("/data"),
            recovery: Recovery::default(),
            projects: 1,
            first_project: Some(project),
            setup_code: Some(SetupCode { code: "cod".into(), expires_at_ms: 0 }),
        };
        let first = text(&report, true);
        for part in [
            "curl http://127.0.0.1:8080/track",
            "\"token\":\"tok\"",
            "curl -u sec: \"http://127.0.0.1:8080/api/2.0/export?from_date=",
            " export --project 1",
            "http://127.0.0.1:8080/console/setup?code=cod",
            "/data",
        ] {
            assert!(first.contains(part), "{part} in {first}");
        }
        let logged = text(&report, false);
        assert!(logged.contains("\"token\":\"tok\"") && !logged.contains("sec:"), "{logged}");
        assert!(!logged.contains("code=cod"), "{logged}");
        report.first_project = None;
        assert!(!text(&report, true).contains("curl"));
    }
}
