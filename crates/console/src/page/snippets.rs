//! Lines to paste into an app, with this server's address and the project's token filled in.

/// A way to send.
pub(crate) struct Snippet {
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    pub(crate) code: String,
}

/// For the libraries there are, the shortest that sends one event.
pub(crate) fn of(url: &str, token: &str) -> Vec<Snippet> {
    // Both stand inside quotes of the language in question, where JSON's are understood.
    let (u, t) = (quoted(url), quoted(token));
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
    let scheme = if url.starts_with("https:") { "https" } else { "http" };
    let event = format!(r#"{{"event":"Hello","properties":{{"token":{t},"distinct_id":"me"}}}}"#);
    let one = |id, label, code: String| Snippet { id, label, code };
    vec![
        one(
            "curl",
            "curl",
            format!(
                "curl {} -H 'Content-Type: application/json' -d {}",
                shell(&format!("{url}/track")),
                shell(&event)
            ),
        ),
        one(
            "browser",
            "Browser",
            format!("mixpanel.init({t}, {{ api_host: {u} }});\nmixpanel.track(\"Hello\");"),
        ),
        one(
            "node",
            "Node.js",
            format!(
                "const mixpanel = require(\"mixpanel\").init({t}, {{ host: {}, protocol: \"{scheme}\" }});\n\
                 mixpanel.track(\"Hello\", {{ distinct_id: \"me\" }});",
                quoted(authority)
            ),
        ),
        one(
            "python",
            "Python",
            format!(
                "from mixpanel import Consumer, Mixpanel\n\nmp = Mixpanel({t}, consumer=Consumer(events_url={}, \
                 people_url={}))\nmp.track(\"me\", \"Hello\")",
                quoted(&format!("{url}/track")),
                quoted(&format!("{url}/engage"))
            ),
        ),
        one(
            "swift",
            "Swift",
            format!(
                "Mixpanel.initialize(token: {t}, trackAutomaticEvents: false, serverURL: {u})\n\
                 Mixpanel.mainInstance().track(event: \"Hello\")"
            ),
        ),
        one(
            "android",
            "Android",
            format!(
                "MixpanelAPI mixpanel = MixpanelAPI.getInstance(context, {t}, false);\nmixpanel.setServerURL({u});\n\
                 mixpanel.track(\"Hello\");"
            ),
        ),
    ]
}

/// A text as a string of JSON, which the languages here share.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text as one word of a shell.
pub(crate) fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_holds_address_and_token_and_no_way_out_of_its_quotes() {
        for snippet in of("https://c.example", "tok\"en'; rm -rf /") {
            assert!(snippet.code.contains("c.example"), "{}", snippet.code);
            assert!(snippet.code.contains("tok\\\"en"), "{}", snippet.code);
        }
        let curl = &of("http://[::1]:8080", "a'b")[0].code;
        assert_eq!(
            curl,
            "curl 'http://[::1]:8080/track' -H 'Content-Type: application/json' -d \
             '{\"event\":\"Hello\",\"properties\":{\"token\":\"a'\\''b\",\"distinct_id\":\"me\"}}'"
        );
    }
}
