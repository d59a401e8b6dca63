//! What people set for themselves, the data held about them, its erasure, and what deletion takes.

use forebay_control::{
    AuditFilter, Control, GdprToken, NewAccount, NewInvitation, OrganisationRole, Outcome, PeopleError,
    PersonChange, PersonId, PreferencesChange, ProjectRole, SignIn,
};

use crate::common::{PASSWORD, enter, enter_with_password, host_proof, organisation, proof, sign_in, store};

fn switches(remembers_views: bool, logs_usage: bool) -> PreferencesChange {
    PreferencesChange {
        remembers_views: Some(remembers_views),
        logs_usage: Some(logs_usage),
        ..PreferencesChange::default()
    }
}

#[test]
fn both_switches_are_off_until_turned_on_and_off_forgets_at_once() {
    let (_dir, control) = store();
    let zoe = enter(&control, "zoe");
    let acting = control.acting(zoe);
    let preferences = acting.preferences(zoe).unwrap();
    assert!(!preferences.remembers_views && !preferences.logs_usage && preferences.notice_email.is_none());
    assert!(!acting.remember_view(zoe, "projects.sort", "name").unwrap());
    assert!(!acting.note_usage(zoe, "/projects").unwrap());
    assert_eq!(acting.view_setting(zoe, "projects.sort").unwrap(), None);

    acting.change_preferences(zoe, &switches(true, true)).unwrap();
    assert!(acting.remember_view(zoe, "projects.sort", "name").unwrap());
    assert!(acting.note_usage(zoe, "/projects").unwrap());
    assert_eq!(acting.view_setting(zoe, "projects.sort").unwrap().as_deref(), Some("name"));
    assert_eq!(acting.personal_data(zoe).unwrap().usage.len(), 1);

    let off = acting.change_preferences(zoe, &switches(false, false)).unwrap();
    assert!(!off.remembers_views && !off.logs_usage);
    assert_eq!(acting.view_setting(zoe, "projects.sort").unwrap(), None);
    acting.change_preferences(zoe, &switches(true, true)).unwrap();
    let data = acting.personal_data(zoe).unwrap();
    assert_eq!((data.usage, data.views), (vec![], vec![]), "what was forgotten stays so");
    // Nobody else's business.
    let ann = enter(&control, "ann");
    assert!(matches!(control.acting(ann).preferences(zoe), Err(PeopleError::NotOneself { .. })));
    assert!(control.acting(ann).change_preferences(zoe, &switches(true, true)).is_err());
}

#[test]
fn what_is_remembered_is_bounded() {
    let (_dir, control) = store();
    let zoe = enter(&control, "zoe");
    let acting = control.acting(zoe);
    acting.change_preferences(zoe, &switches(true, true)).unwrap();
    for n in 0..105 {
        acting.remember_view(zoe, &format!("view {n}"), "x").unwrap();
        assert_eq!(
            acting.view_setting(zoe, &format!("view {n}")).unwrap().as_deref(),
            Some("x"),
            "the newest stays"
        );
    }
    for n in 0..1005 {
        acting.note_usage(zoe, &format!("/{n}")).unwrap();
    }
    let data = acting.personal_data(zoe).unwrap();
    assert_eq!((data.views.len(), data.usage.len()), (100, 1000));
    assert_eq!(data.usage[0].page, "/5");
    assert!(
        acting.remember_view(zoe, "", "x").is_err()
            && acting.remember_view(zoe, "x", &"x".repeat(5000)).is_err()
    );
}

#[test]
fn notices_go_to_a_second_address_where_one_is_named() {
    let (_dir, control) = store();
    let zoe = enter(&control, "zoe");
    let to = |email: Option<&str>| PreferencesChange {
        notice_email: Some(email.map(str::to_owned)),
        ..PreferencesChange::default()
    };
    let error = control.acting(zoe).change_preferences(zoe, &to(Some("no address"))).unwrap_err();
    assert!(matches!(error, PeopleError::EmailInvalid { .. }), "{error}");
    let set = control.acting(zoe).change_preferences(zoe, &to(Some("ops@example.com"))).unwrap();
    assert_eq!(set.notice_email.as_deref(), Some("ops@example.com"));
    assert_eq!(control.acting(zoe).change_preferences(zoe, &to(None)).unwrap().notice_email, None);
}

/// A person about whom there is something of everything.
fn person_with_a_past(control: &Control) -> (PersonId, u64, GdprToken) {
    let (_, [_, admin, member], project) = organisation(control);
    control.host().set_password(admin, PASSWORD, None, &host_proof(control)).unwrap();
    control.sign_in(&sign_in("admin@example.com", PASSWORD)).unwrap();
    control.sign_in(&sign_in("admin@example.com", "wrong password")).unwrap_err();
    let acting = control.acting(admin);
    acting.set_project_role(project, member, Some(ProjectRole::Analyst)).unwrap();
    acting.add_token(project, "by-admin").unwrap();
    acting.change_preferences(admin, &switches(true, true)).unwrap();
    acting.note_usage(admin, "/projects").unwrap();
    acting.remember_view(admin, "sort", "name").unwrap();
    let token = acting.reset_gdpr_token(admin, 30, &proof(control, admin)).unwrap();
    (admin, project, token)
}

#[test]
fn the_data_held_about_a_person_is_theirs_to_have_at_once_and_holds_no_secret() {
    let (_dir, control) = store();
    let (admin, _, token) = person_with_a_past(&control);
    let other = enter(&control, "other");
    assert!(matches!(control.acting(other).personal_data(admin), Err(PeopleError::NotOneself { .. })));
    let data = control.acting(admin).personal_data(admin).unwrap();
    assert_eq!(data.account.email, "admin@example.com");
    assert_eq!((data.sessions.len(), data.sign_ins.len(), data.usage.len(), data.views.len()), (1, 2, 1, 1));
    assert!(data.gdpr_token.is_some());
    assert!(data.audit.iter().any(|entry| entry.action == "project.token_added"));
    assert_eq!(data.audit[0].action, "person.data_requested");
    let text = serde_json::to_string(&data).unwrap();
    assert!(!text.contains(&token.token) && !text.contains("argon2"), "{text}");
}

#[test]
fn erasing_takes_what_was_announced_and_the_account_goes_on() {
    let (_dir, control) = store();
    let (admin, project, token) = person_with_a_past(&control);
    let acting = control.acting(admin);
    let announced = acting.erasable_data(admin).unwrap();
    assert_eq!((announced.sign_ins, announced.sessions, announced.usage, announced.views), (2, 1, 1, 1));
    assert!(announced.audit > 4 && announced.made >= 2, "{announced:?}");
    let other = enter_with_password(&control, "other");
    assert!(control.acting(other).erase_personal_data(admin, &proof(&control, other)).is_err());
    let session = control.sign_in(&sign_in("admin@example.com", PASSWORD)).unwrap();
    let erased = acting.erase_personal_data(admin, &proof(&control, admin)).unwrap();
    assert_eq!((erased.usage, erased.views, erased.made), (announced.usage, announced.views, announced.made));

    let all = control.audit_entries(1000).unwrap();
    let name = format!("person:{admin}");
    assert!(!all.iter().any(|e| e.actor == name || e.subject == name || e.detail.contains(&name)), "{all:?}");
    let by = |actor: &str| all.iter().filter(|entry| entry.actor == actor).count();
    assert!(erased.pseudonym.starts_with("erased:") && by(&erased.pseudonym) > 3, "{all:?}");
    assert!(!all.iter().any(|entry| entry.detail.contains("192.0.2.7")), "{all:?}");
    let report = control.host().verify_audit(&[]).unwrap();
    assert_eq!(report.damage, [], "the record still fits together");
    assert!(report.erased > 4);
    let data = acting.personal_data(admin).unwrap();
    assert_eq!((data.sign_ins.len(), data.usage.len(), data.views.len()), (0, 0, 0));
    assert_eq!((data.sessions[0].address.as_str(), data.sessions[0].user_agent.as_str()), ("", ""));
    let shown = control.host().project(project).unwrap().project;
    assert_eq!(shown.tokens[1].created_by, erased.pseudonym);

    // The account is as it was.
    assert!(control.session(&session.secret).unwrap().is_some());
    assert_eq!(control.acting(admin).project_role(project).unwrap(), Some(ProjectRole::Admin));
    assert_eq!(control.person_of_gdpr_token(&token.token).unwrap(), Some(admin));
    control.sign_in(&sign_in("admin@example.com", PASSWORD)).unwrap();
    // Once more: the same pseudonym, for what came since.
    acting.add_token(project, "again").unwrap();
    let again = acting.erase_personal_data(admin, &proof(&control, admin)).unwrap();
    assert_eq!(again.pseudonym, erased.pseudonym);
    assert_eq!(control.host().verify_audit(&[]).unwrap().damage, []);
}

#[test]
fn person_one_is_not_erased_with_person_twelve() {
    let (_dir, control) = store();
    let people: Vec<_> = (0..12).map(|n| enter(&control, &format!("p{n}"))).collect();
    control.host().create_project(&crate::common::named("p")).unwrap();
    for person in &people {
        control.host().set_organisation_role(1, *person, OrganisationRole::Member).unwrap();
    }
    control.host().erase_personal_data(people[0], &host_proof(&control)).unwrap();
    let told = |person: &PersonId| {
        let all = control.host().audit(&AuditFilter::default()).unwrap().entries;
        all.iter().filter(|entry| format!("{} ", entry.detail).contains(&format!("person:{person} "))).count()
    };
    assert_eq!(told(&people[0]), 0);
    for person in &people[1..] {
        assert_eq!(told(person), 1, "person {person}");
    }
}

#[test]
fn what_deletion_takes_is_told_before() {
    let (_dir, control) = store();
    let (id, [owner, _, member], project) = organisation(&control);
    let acting = control.acting(owner);
    let own = acting.create_organisation("only mine", None).unwrap().id;
    let busy = acting.create_organisation("mine and busy", None).unwrap().id;
    acting
        .create_project(&forebay_control::NewProject {
            organisation: Some(busy),
            ..crate::common::named("solo")
        })
        .unwrap();
    let account = NewAccount {
        username: Some("etl".into()),
        projects: vec![project.into()],
        organisation: Some(id),
        ..NewAccount::default()
    };
    acting.create_service_account(&account).unwrap();
    let invitation = NewInvitation {
        organisation: id,
        email: "new@example.com".to_owned(),
        role: OrganisationRole::Member,
        project: None,
        expires_at_ms: None,
    };
    acting.invite(&invitation).unwrap();
    let losses = acting.losses(owner).unwrap();
    let outcomes: Vec<_> = losses.organisations.iter().map(|o| (o.id, o.outcome)).collect();
    assert_eq!(outcomes, [(id, Outcome::NeedsOwner), (own, Outcome::Goes), (busy, Outcome::NeedsMember)]);
    assert_eq!(losses.organisations[0].others.len(), 2, "of whom the next owner is named");
    let projects: Vec<_> = losses.projects.iter().map(|p| (&*p.name, p.role, p.others)).collect();
    assert_eq!(projects, [("shop", ProjectRole::Owner, 1), ("solo", ProjectRole::Owner, 0)]);
    assert_eq!((losses.invitations, losses.service_accounts.as_slice()), (1, &["etl".to_owned()][..]));
    let of_member = control.acting(member).losses(member).unwrap();
    assert_eq!((of_member.organisations[0].outcome, of_member.projects.len()), (Outcome::Stays, 0));
    assert!(control.acting(member).losses(owner).is_err());
}

#[test]
fn attempts_to_sign_in_follow_a_new_address_and_go_with_the_person() {
    let (dir, control) = store();
    let zoe = enter_with_password(&control, "zoe");
    let known = control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap().device;
    let again = SignIn { device: Some(&known), ..sign_in("zoe@example.com", PASSWORD) };
    control.sign_in(&again).unwrap();
    let change = PersonChange { email: Some("zoe@example.org".to_owned()), ..PersonChange::default() };
    control.acting(zoe).change_person(zoe, &change, Some(&proof(&control, zoe))).unwrap();
    let told = control.acting(zoe).personal_data(zoe).unwrap().sign_ins;
    assert_eq!(told.iter().map(|one| one.browser.as_deref()).collect::<Vec<_>>(), [None, Some(&known[..32])]);
    control.acting(zoe).delete_person(zoe, &proof(&control, zoe), &[]).unwrap();
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    for table in ["people", "sessions", "sign_ins", "gdpr_tokens", "usage_log", "view_settings", "outreach"] {
        let left: u64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}
