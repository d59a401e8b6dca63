//! `forebay audit`: who did what, and whether somebody tampered with the record of it.

use super::{Common, Done, Failure, out};
use clap::Subcommand;
use forebay_control::AuditFilter;
use jiff::Timestamp;

/// Read the record of who did what, and check that nobody tampered with it
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List entries, the newest first; with --json one on each line
    List(List),
    /// Check that no entry was changed, put in or taken out
    Verify {
        /// The head that an earlier check printed, such as 120:5f1d…: that entry must still be there; may be repeated
        #[arg(long, value_name = "NUMBER:HEAD", value_parser = noted)]
        expect: Vec<(u64, String)>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of this organisation, its projects included
    #[arg(long, value_name = "ID")]
    organisation: Option<u64>,
    /// Of this project
    #[arg(long, value_name = "ID")]
    project: Option<u64>,
    /// Done by, such as person:7 or "command line"
    #[arg(long)]
    actor: Option<String>,
    /// This action, or with a dot at the end all that begin so: project.
    #[arg(long)]
    action: Option<String>,
    /// From then on
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    from: Option<Timestamp>,
    /// Before then
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    to: Option<Timestamp>,
    /// Before the entry of this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// How many; 0: all
    #[arg(short = 'n', long = "number", value_name = "COUNT", default_value_t = 100)]
    count: usize,
}

fn noted(text: &str) -> Result<(u64, String), String> {
    let wrong = || format!("{text:?} is not NUMBER:HEAD as `forebay audit verify` prints it");
    let (number, head) = text.split_once(':').ok_or_else(wrong)?;
    let is_head = head.len() == 64 && head.bytes().all(|byte| byte.is_ascii_hexdigit());
    match number.parse() {
        Ok(number) if is_head => Ok((number, head.to_ascii_lowercase())),
        _ => Err(wrong()),
    }
}

impl Audit {
    pub(crate) fn run(self, common: &Common) -> Done {
        match self {
            Audit::List(list) => list.run(common),
            Audit::Verify { expect } => verify(common, &expect),
        }
    }
}

impl List {
    fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        let control = common.existing_control()?;
        let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap_or(0);
        let mut filter = AuditFilter {
            organisation: self.organisation,
            project: self.project,
            actor: self.actor,
            action: self.action,
            since_ms: self.from.map(ms),
            until_ms: self.to.map(ms),
            before: self.before,
            limit: 0,
        };
        let mut left = if self.count == 0 { usize::MAX } else { self.count };
        while left > 0 {
            filter.limit = left.min(1000);
            let page = control.host().audit(&filter)?;
            left -= page.entries.len().min(left);
            for entry in &page.entries {
                if out.json {
                    out.value(entry)?;
                    continue;
                }
                let detail = out::clipped(&entry.detail, 120);
                let (at, actor) = (out::time(entry.at_ms), &entry.actor);
                out.line(&format!(
                    "{} {at}  {actor}  {}  {}  {detail}",
                    entry.id, entry.action, entry.subject
                ))?;
            }
            filter.before = page.next;
            if page.next.is_none() {
                break;
            }
        }
        out.done()
    }
}

fn verify(common: &Common, noted: &[(u64, String)]) -> Done {
    let mut out = common.out();
    let control = common.existing_control()?;
    let report = control.host().verify_audit(noted)?;
    if out.json {
        out.value(&report)?;
    } else {
        out.line(&format!(
            "{} entries, {} of them from before they were chained, {} with their actor erased",
            report.entries, report.unchained, report.erased
        ))?;
        for damage in &report.damage {
            out.line(&format!("DAMAGED  entry {}: {}", damage.id, damage.what))?;
        }
        out.line(&format!("head  {}:{}", report.last, report.head))?;
        if report.damage.is_empty() {
            out.line("nobody tampered with it. Keep the head elsewhere: --expect asks for it again")?;
        }
    }
    out.done()?;
    if report.damage.is_empty() { Ok(()) } else { Err(Failure::Found) }
}
