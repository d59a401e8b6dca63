//! The small endpoints that SDKs ask unbidden: settings, feature flags, decide, and `/`.
//!
//! Each answers what keeps its caller quiet: no flags, no replay, nothing to show.

use crate::{answer::Answer, paths::Target};

/// Switches session replay off.
const SETTINGS: &str = r#"{"sdk_config":{"config":{}},"recording":{"is_enabled":false}}"#;
/// An object under `flags`, and the `code` that the Python SDK reads.
const FLAGS: &str = r#"{"code":200,"flags":{}}"#;
const FLAG_DEFINITIONS: &str = r#"{"flags":[]}"#;
const DECIDE: &str = r#"{"notifications":[],"config":{}}"#;
/// What people who test a proxy expect to see.
const WELCOME: &str = r#"{"error":"Not a valid path.","welcome":"This is Forebay, an event collector that speaks Mixpanel's wire. Events go to /track, profiles to /engage and /groups, imports to /import."}"#;

/// The answer of an endpoint that says the same to everybody.
pub(crate) fn answer(target: Target<'_>) -> Answer {
    Answer::json(match target {
        Target::Settings => SETTINGS,
        Target::Flags => FLAGS,
        Target::FlagDefinitions => FLAG_DEFINITIONS,
        Target::FirstTimeEvent => r#"{"code":200,"status":"OK"}"#,
        Target::Decide => DECIDE,
        _ => WELCOME,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_json_with_the_keys_its_callers_read() {
        for (target, keys) in [
            (Target::Settings, &["/sdk_config/config", "/recording/is_enabled"][..]),
            (Target::Flags, &["/code", "/flags"]),
            (Target::FlagDefinitions, &["/flags"]),
            (Target::FirstTimeEvent, &["/code"]),
            (Target::Decide, &["/notifications", "/config"]),
            (Target::Root, &["/error"]),
        ] {
            let document: serde_json::Value = serde_json::from_slice(answer(target).body()).unwrap();
            for key in keys {
                assert!(document.pointer(key).is_some(), "{target:?} lacks {key}");
            }
        }
    }
}
