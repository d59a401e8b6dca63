//! npm's mixpanel: what it believes delivered is what the export gives back.

use forebay_tests::{Forebay, Json, delivered, json::quoted, sdk};

fn check(verbose: bool) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let told = sdk::node(
        "mixpanel_sdk.js",
        &[&format!(
            r#"{{"host":{},"token":{},"api_key":{},"verbose":{verbose}}}"#,
            quoted(&forebay.addr().to_string()),
            quoted(&project.token),
            quoted(&project.api_key)
        )],
    );
    let list = |key: &str| told.get(key).and_then(Json::as_array).expect("the script prints lists").to_vec();
    assert_eq!(list("errors").len(), 1, "only the event without a name is refused: {:?}", list("errors"));
    assert_eq!(list("events").len(), 248, "the script did its work");
    delivered::events(&list("events"), &forebay.export(&project), &[]);
    let records = forebay.records();
    delivered::updates(&list("people"), &records, "engage");
    delivered::updates(&list("groups"), &records, "groups");
}

#[test]
fn all_that_it_believes_delivered_is_exported_and_nothing_else() {
    check(false);
}

#[test]
fn the_same_holds_when_it_asks_for_verbose_answers() {
    check(true);
}
