//! `forebay settings`: every setting, what it accepts, and where it is set here.

use super::{Common, Done};
use crate::config::{keys, source::variable};
use serde_json::json;

/// List every setting of the configuration file, and check those given
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {}

impl Settings {
    pub(crate) fn run(&self, common: &Common) -> Done {
        let given = common.given(Vec::new())?;
        // Wrong ones are named here as `forebay serve` would name them.
        common.config(Vec::new())?;
        let mut out = common.out();
        for key in keys::all() {
            let set = given.iter().rfind(|g| g.key == key.name);
            if out.json {
                out.value(&json!({
                    "key": key.name,
                    "variable": variable(key.name),
                    "accepts": key.takes.to_string(),
                    "for": key.help,
                    "value": set.map(|g| g.raw.to_string()),
                    "from": set.map(|g| g.origin.to_string()),
                }))?;
                continue;
            }
            out.line(&match set {
                Some(given) => format!("{} = {}   ({})", key.name, given.raw, given.origin),
                None => key.name.to_owned(),
            })?;
            out.line(&format!("    {}; {}", key.help, key.takes))?;
        }
        out.done()
    }
}
