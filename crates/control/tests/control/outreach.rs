//! How often somebody reaches addresses of their own choice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use forebay_control::{
    Acting, Channels, Control, Invited, NewAccount, NewInvitation, Options, OrganisationRole, OutreachLimits,
    PeopleError, PersonChange, PersonId, PreferencesChange,
};
use tempfile::TempDir;

use crate::common::{NOW_MS, enter_with_password, options, organisation, proof};

/// A store in which a person reaches three addresses within an hour, and an organisation four.
fn narrow_store() -> (TempDir, Control, Arc<AtomicU64>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let ticking = Arc::clone(&clock);
    let options = Options {
        clock: Arc::new(move || ticking.load(Ordering::Relaxed)),
        outreach: OutreachLimits { person_hour_max: 3, organisation_hour_max: 4 },
        ..options(NOW_MS)
    };
    let control = Control::open_with(dir.path(), options).unwrap();
    control.set_channels(&Channels { mail: true, text: false, console_url: None }).unwrap();
    (dir, control, clock)
}

fn invite(control: &Control, by: PersonId, who: &str) -> Result<Invited, PeopleError> {
    let email = format!("{who}@example.com");
    let role = OrganisationRole::Member;
    let new = NewInvitation { organisation: 1, email, role, project: None, expires_at_ms: None };
    control.acting(by).invite(&new)
}

/// Who is told that they reached so many, and what else they are told.
fn refused<T: std::fmt::Debug>(outcome: Result<T, PeopleError>) -> (String, u64, u64) {
    let error = outcome.unwrap_err();
    let text = error.to_string();
    let PeopleError::OutreachExceeded { who, max, retry_after_s } = error else { panic!("{error}") };
    assert!(text.contains(&format!("{max} addresses within the hour")), "{text}");
    assert!(text.contains("_addresses_hour_max`"), "it says which setting: {text}");
    assert!(text.ends_with(&format!("in {retry_after_s} seconds")), "and when again: {text}");
    (who, max, retry_after_s)
}

#[test]
fn of_strangers_a_person_and_an_organisation_invite_so_many_an_hour() {
    let (_dir, control, clock) = narrow_store();
    let (_, [owner, admin, _], _) = organisation(&control);
    // Of the same address again, too: each sends a link.
    for who in ["a", "b", "a"] {
        invite(&control, owner, who).unwrap();
        clock.fetch_add(60_000, Ordering::Relaxed);
    }
    assert_eq!(refused(invite(&control, owner, "d")), (format!("person:{owner}"), 3, 57 * 60));
    invite(&control, admin, "e").unwrap();
    let of_all = refused(invite(&control, admin, "f"));
    assert_eq!(of_all, ("organisation:1".to_owned(), 4, 57 * 60), "whoever does it");
    assert_eq!(control.host().invitations(1).unwrap().len(), 3, "what was refused is not there");
    // What was refused did not count, and the host is not counted.
    let email = "g@example.com".to_owned();
    let role = OrganisationRole::Member;
    let new = NewInvitation { organisation: 1, email, role, project: None, expires_at_ms: None };
    control.host().invite(&new).unwrap();
    clock.fetch_add(57 * 60_000, Ordering::Relaxed);
    for who in ["d", "e", "f"] {
        invite(&control, owner, who).unwrap();
    }
    refused(invite(&control, owner, "g"));
}

#[test]
fn codes_and_changes_of_address_count_beside_invitations() {
    let (_dir, control, clock) = narrow_store();
    organisation(&control);
    let zoe = enter_with_password(&control, "zoe");
    control.host().set_organisation_role(1, zoe, OrganisationRole::Admin).unwrap();
    let acting = control.acting(zoe);
    let notices = |email: &str| {
        let notice_email = Some(Some(email.to_owned()));
        acting.change_preferences(zoe, &PreferencesChange { notice_email, ..PreferencesChange::default() })
    };
    let proof = proof(&control, zoe);
    let address = |email: &str| {
        let change = PersonChange { email: Some(email.to_owned()), ..PersonChange::default() };
        acting.change_person(zoe, &change, Some(&proof))
    };
    invite(&control, zoe, "a").unwrap();
    notices("notices@example.com").unwrap();
    // Whether the address was free or not: else guessing which are would cost nothing.
    address("owner@example.com").unwrap_err();
    assert_eq!(refused(invite(&control, zoe, "b")).0, format!("person:{zoe}"));
    refused(address("free@example.com"));
    clock.fetch_add(31_000, Ordering::Relaxed);
    refused(acting.send_notice_code(zoe));
    let messages = |control: &Control| control.host().messages(None, 100).unwrap().len();
    let before = messages(&control);
    let other = notices("other@example.com").unwrap();
    assert_eq!(other.notice_email.as_deref(), Some("other@example.com"), "it is noted, and not written to");
    let told = control.host().messages(None, 100).unwrap();
    assert_eq!((messages(&control), told[0].recipient.as_str()), (before + 1, "zoe@example.com"));
}

#[test]
fn an_address_that_is_not_written_to_is_not_counted() {
    let (_dir, control, _clock) = narrow_store();
    organisation(&control);
    let zoe = enter_with_password(&control, "zoe");
    let acting = control.acting(zoe);
    let written_to = || {
        let told = control.host().messages(None, 100).unwrap();
        told.iter().filter(|message| message.about == "confirm-address").count()
    };
    // The second and the third come too soon after the first to be written to.
    for name in ["a", "b", "c"] {
        let notice_email = Some(Some(format!("{name}@example.com")));
        let change = PreferencesChange { notice_email, ..PreferencesChange::default() };
        acting.change_preferences(zoe, &change).unwrap();
    }
    assert_eq!(written_to(), 1);
    control.host().set_organisation_role(1, zoe, OrganisationRole::Admin).unwrap();
    for who in ["d", "e"] {
        invite(&control, zoe, who).expect("of three only one was used");
    }
    refused(invite(&control, zoe, "f"));
}

#[test]
fn what_service_accounts_reach_counts_for_the_person_behind_them() {
    let (_dir, control, clock) = narrow_store();
    let (_, [_, admin, _], _) = organisation(&control);
    let zoe = enter_with_password(&control, "zoe");
    let made = |by: &Acting<'_>, organisation: u64, name: &str| {
        let new = NewAccount {
            username: Some(name.to_owned()),
            organisation: Some(organisation),
            organisation_role: OrganisationRole::Admin,
            ..NewAccount::default()
        };
        by.create_service_account(&new).unwrap();
        control.host().service_account(name).unwrap()
    };
    let invite_by = |by: &Acting<'_>, organisation: u64, who: &str| {
        let (email, role) = (format!("{who}@example.com"), OrganisationRole::Member);
        by.invite(&NewInvitation { organisation, email, role, project: None, expires_at_ms: None })
    };
    // Each in an organisation of its own, the second made by the first, which is gone by then.
    let one = control.acting(zoe).create_organisation("one", None).unwrap().id;
    let two = control.acting(zoe).create_organisation("two", None).unwrap().id;
    let first = made(&control.acting(zoe), one, "first");
    let second = made(&control.acting_account(&first), one, "second");
    control.host().delete_service_account("first").unwrap();
    let third = made(&control.acting(zoe), two, "third");
    for (account, organisation, who) in [(&second, one, "a"), (&third, two, "b"), (&second, one, "c")] {
        invite_by(&control.acting_account(account), organisation, who).unwrap();
    }
    let person = format!("person:{zoe}");
    assert_eq!(refused(invite_by(&control.acting_account(&third), two, "d")).0, person);
    assert_eq!(refused(invite_by(&control.acting(zoe), two, "d")).0, person);
    // Others are not concerned, nor is the host's account.
    let hosts = made(&control.host(), two, "hosts");
    invite_by(&control.acting_account(&hosts), two, "d").unwrap();
    invite(&control, admin, "d").unwrap();
    clock.fetch_add(3_600_000, Ordering::Relaxed);
    invite_by(&control.acting_account(&third), two, "d").unwrap();
}

#[test]
fn a_person_creates_so_many_organisations_an_hour() {
    let (_dir, control, clock) = narrow_store();
    let [zoe, other] = ["zoe", "other"].map(|name| enter_with_password(&control, name));
    for n in 0..20 {
        control.acting(zoe).create_organisation(&format!("number {n}"), None).unwrap();
    }
    clock.fetch_add(60_000, Ordering::Relaxed);
    let error = control.acting(zoe).create_organisation("more", None).unwrap_err();
    assert!(matches!(error, PeopleError::TooManyOrganisations { max: 20, retry_after_s: 3540 }), "{error}");
    assert!(error.to_string().ends_with("in 3540 seconds"), "{error}");
    control.acting(other).create_organisation("theirs", None).unwrap();
    control.host().create_organisation("the host's", Some(zoe)).unwrap();
    clock.fetch_add(59 * 60_000, Ordering::Relaxed);
    control.acting(zoe).create_organisation("more", None).unwrap();
}
