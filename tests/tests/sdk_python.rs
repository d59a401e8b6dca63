//! PyPI's mixpanel and mixpanel-utils: what they believe delivered is what the export gives back.

use forebay_tests::{Forebay, Json, Project, delivered, json::quoted, sdk};

fn list<'a>(told: &'a Json, key: &str) -> &'a [Json] {
    told.get(key).and_then(Json::as_array).unwrap_or_else(|| panic!("no list {key:?} from the script"))
}

/// Creates a service account that may read and import into the project; gives its secret.
fn service_account(forebay: &Forebay, project: &Project, username: &str) -> String {
    let secret = "account-secret-made-up";
    let id = project.id.to_string();
    forebay.cli(&[
        "service-account",
        "create",
        "--username",
        username,
        "--secret",
        secret,
        "--project",
        &id,
        "--json",
    ]);
    secret.to_owned()
}

#[test]
fn all_that_mixpanel_believes_delivered_is_exported_and_nothing_else() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let account = service_account(&forebay, &project, "python.sa");
    forebay.wait_for_account("python.sa", &account, &project.id.to_string());
    let told = sdk::python(
        "mixpanel_sdk.py",
        &[&format!(
            r#"{{"url":{},"token":{},"secret":{},"username":"python.sa","account_secret":{},"project_id":{}}}"#,
            quoted(&forebay.url()),
            quoted(&project.token),
            quoted(&project.api_secret),
            quoted(&account),
            project.id
        )],
    );
    let errors = list(&told, "errors");
    assert_eq!(errors.len(), 2, "NaN and the missing credential are refused: {told}");
    delivered::events(list(&told, "events"), &forebay.export(&project), &[]);
    let records = forebay.records();
    delivered::updates(list(&told, "people"), &records, "engage");
    delivered::updates(list(&told, "groups"), &records, "groups");
    assert_eq!(list(&told, "events").len(), 188, "the script did its work");
}

fn utils(username: Option<&str>) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let secret = match username {
        None => project.api_secret.clone(),
        Some(name) => {
            let secret = service_account(&forebay, &project, name);
            forebay.wait_for_account(name, &secret, &project.id.to_string());
            secret
        }
    };
    let told = sdk::python(
        "mixpanel_utils_sdk.py",
        &[&format!(
            r#"{{"url":{},"token":{},"secret":{},"username":{},"project_id":{},"from":{},"to":{}}}"#,
            quoted(&forebay.url()),
            quoted(&project.token),
            quoted(&secret),
            username.map_or_else(|| "null".to_owned(), quoted),
            project.id,
            quoted(&forebay_tests::day(-1)),
            quoted(&forebay_tests::day(0)),
        )],
    );
    let warnings: Vec<_> = list(&told, "warnings").iter().map(ToString::to_string).collect();
    // It warns of the two exports that are meant to be empty.
    assert!(warnings.len() == 2 && warnings.iter().all(|w| w.contains("empty")), "{warnings:?}");
    let events = list(&told, "events");
    delivered::events(events, &forebay.export(&project), &[]);
    for key in ["exported", "exported_gzip", "exported_named"] {
        assert_eq!(list(&told, key).len(), events.len(), "{key}");
    }
    for key in ["exported_none", "queried_none"] {
        assert_eq!(list(&told, key).len(), 0, "{key}: an empty list, and no error");
    }
    assert_eq!(told.str("streamed_none"), "", "an empty gzip file, not a broken one");
    let expected = list(&told, "expected_where");
    for (key, count) in
        [("exported_where", expected.len()), ("queried_where", expected.len()), ("exported_where_limit", 4)]
    {
        let found = list(&told, key);
        assert_eq!(found.len(), count, "{key}");
        let is_expected = |event: &&Json| {
            let n = |event: &Json| event.get("properties").map(|properties| properties.u64("n"));
            expected.iter().any(|wanted| n(wanted) == n(event))
        };
        assert_eq!(found.iter().filter(is_expected).count(), count, "{key}");
    }
    assert_eq!(list(&told, "exported_set").len(), events.len() - 1, "all but the one whose number is 0");
    assert_eq!(list(&told, "streamed").len(), 10);
    let profiles = forebay.records().iter().filter(|r| r.str("endpoint") == "engage").count();
    assert_eq!(profiles, list(&told, "people").len() + list(&told, "updates").len());
}

#[test]
fn mixpanel_utils_imports_and_exports_with_the_api_secret() {
    utils(None);
}

#[test]
fn mixpanel_utils_imports_and_exports_with_a_service_account() {
    utils(Some("utils.1a2b3c.mp-service-account"));
}
