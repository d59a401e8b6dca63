//! Credentials that were replaced, tokens of projects that have several, and what else a project's settings decide.

use std::sync::Arc;

use forebay_record::{LaneId, ProjectId};
use forebay_route::{
    Change, ClientAddress, CredentialKind, FormerCredential, Ledger, LedgerLimits, Mac, ProjectSettings,
    Registry, ServiceAccount, UsedToken,
};

fn id(id: u64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

fn mac(seed: u16) -> Mac {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&seed.to_le_bytes());
    Mac(bytes)
}

fn settings(tokens: &[&str]) -> ProjectSettings {
    ProjectSettings {
        tokens: tokens.iter().map(|token| token.as_bytes().into()).collect(),
        api_key_mac: Some(mac(1)),
        api_secret_mac: Some(mac(1001)),
        ..ProjectSettings::new(id(1))
    }
}

fn registry(settings: ProjectSettings) -> (Arc<Ledger>, Registry) {
    let ledger = Ledger::new(LedgerLimits::default());
    let registry = Registry::new(Arc::clone(&ledger), |_| LaneId(0));
    registry.apply(Change::Project(settings));
    (ledger, registry)
}

#[test]
fn an_account_accepts_the_secret_before_until_that_ends_or_the_account_does() {
    let account = ServiceAccount {
        username: "etl".into(),
        secret_mac: mac(5),
        former_secret: Some((mac(4), 50)),
        projects: vec![],
        reads: vec![],
        writes: vec![],
        administers: None,
        scoped_to_read: true,
        scoped_to_write: true,
        expires_at_ms: Some(100),
    };
    for (seed, now_ms, accepted) in
        [(5, 49, true), (4, 49, true), (4, 50, false), (5, 99, true), (5, 100, false), (3, 0, false)]
    {
        assert_eq!(account.accepts(&mac(seed), now_ms), accepted, "seed {seed} at {now_ms}");
    }
    let ending_first = ServiceAccount { expires_at_ms: Some(40), ..account };
    assert!(!ending_first.accepts(&mac(4), 40), "an account that has expired has no secret");
}

#[test]
fn a_replaced_credential_finds_its_project_as_long_as_the_store_names_it_and_as_what_it_was() {
    let (_, registry) = registry(settings(&["t"]));
    let found = |key: u16, secret: u16| {
        let found = [registry.by_api_key_mac(&mac(key)), registry.by_secret_mac(&mac(secret))];
        found.map(|project| project.map(|project| project.id.as_u64()))
    };
    let former = |seed, kind| FormerCredential { mac: mac(seed), kind };
    let reset = ProjectSettings {
        api_key_mac: Some(mac(2)),
        api_secret_mac: Some(mac(1002)),
        former_credentials: [former(1, CredentialKind::ApiKey), former(1001, CredentialKind::ApiSecret)]
            .into(),
        ..settings(&["t"])
    };
    registry.apply(Change::Project(reset.clone()));
    assert_eq!((found(1, 1001), found(2, 1002)), ([Some(1); 2], [Some(1); 2]));
    assert_eq!(found(1001, 1), [None; 2], "a former key is no secret, nor the reverse");
    registry.apply(Change::Project(ProjectSettings { former_credentials: [].into(), ..reset.clone() }));
    assert_eq!((found(1, 1001), found(2, 1002)), ([None; 2], [Some(1); 2]));
    registry.replace_all([reset], []);
    assert_eq!(found(1, 1001), [Some(1); 2]);
    registry.apply(Change::ProjectRemoved(id(1)));
    assert_eq!((found(1, 1001), found(2, 1002)), ([None; 2], [None; 2]));
}

#[test]
fn each_token_of_several_is_counted_by_itself_through_every_change() {
    let (ledger, registry) = registry(settings(&["only"]));
    let count = |token: &str, events, now_ms| {
        registry.token(token.as_bytes()).unwrap().count_token(token.as_bytes(), events, now_ms);
    };
    count("only", 5, 1);
    assert_eq!(ledger.drain_token_uses(), [], "one token needs no count of its own");
    registry.apply(Change::Project(settings(&["old", "new"])));
    count("old", 2, 10);
    count("new", 3, 11);
    registry.apply(Change::Project(settings(&["new", "old", "third"])));
    count("old", 4, 9);
    let used = |token: &str, events, last_ms| UsedToken {
        project: id(1),
        token: token.as_bytes().into(),
        events,
        last_ms,
    };
    let drained = ledger.drain_token_uses();
    assert_eq!(drained, [used("new", 3, 11), used("old", 6, 10)]);
    ledger.put_back_token_uses(&drained[..1]);
    registry.apply(Change::Project(settings(&["new"])));
    assert_eq!(ledger.drain_token_uses(), [used("new", 3, 11)], "what was counted is told, whoever is left");
    assert_eq!(ledger.drain_token_uses(), []);
}

#[test]
fn what_is_kept_of_an_address_is_what_the_project_says() {
    let check = |address: &str, masked: &str| {
        let address = address.parse().unwrap();
        assert_eq!(ClientAddress::Drop.of(address), None);
        assert_eq!(ClientAddress::Keep.of(address), Some(address));
        assert_eq!(ClientAddress::Mask.of(address), Some(masked.parse().unwrap()));
    };
    check("192.0.2.77", "192.0.2.0");
    check("2001:db8:1:2:3:4:5:6", "2001:db8:1::");
    check("::ffff:192.0.2.77", "192.0.2.0");
}

#[test]
fn a_project_that_names_origins_takes_pages_of_those_and_whatever_is_no_page() {
    let (_, registry) = registry(settings(&["t"]));
    let allows =
        |origin: Option<&str>| registry.project(id(1)).unwrap().allows_origin(|| origin.map(str::as_bytes));
    assert!(allows(Some("https://anywhere.example")) && allows(None));
    let allowed_origins = ["https://shop.example".into(), "http://localhost:3000".into()].into();
    registry.apply(Change::Project(ProjectSettings { allowed_origins, ..settings(&["t"]) }));
    for (origin, allowed) in [
        (None, true),
        (Some("https://shop.example"), true),
        (Some("https://SHOP.example"), true),
        (Some("http://localhost:3000"), true),
        (Some("http://shop.example"), false),
        (Some("https://shop.example.evil"), false),
        (Some("null"), false),
        (Some(""), false),
    ] {
        assert_eq!(allows(origin), allowed, "{origin:?}");
    }
}
