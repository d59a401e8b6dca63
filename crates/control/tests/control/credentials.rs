//! The life of credentials: shown again, replaced, retired; and that each ends on time without anybody's doing.

use std::sync::atomic::Ordering;

use forebay_control::{
    AccountError, AccountProject, Acting, CallerInfo, Control, Grace, Keep, NewAccount, NewProject,
    OrganisationRole, PeopleError, PersonId, Poll, ProjectChange, ProjectError, ProjectRole, Watch,
};
use forebay_record::ProjectId;
use forebay_route::{
    Caller, Change, ClientAddress, Credential, Kind, Ledger, LedgerLimits, Owner, Registry, Row, UsedToken,
    Uses,
};

use crate::common::{
    NOW_MS, brought, clocked_store, enter, enter_with_password, host_proof, named, organisation, proof, store,
};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What a running server knows.
struct Server {
    registry: Registry,
    watch: Watch,
}

impl Server {
    fn of(control: &Control) -> Server {
        let registry = Registry::new(Ledger::new(LedgerLimits::default()), |_| forebay_record::LaneId(0));
        let (snapshot, watch) = control.watch().unwrap();
        registry.replace_all(snapshot.projects, snapshot.accounts);
        Server { registry, watch }
    }

    /// Looks once, as a server does several times a second; returns how many changes it saw.
    fn look(&mut self) -> usize {
        let Poll::Changes(changes) = self.watch.poll().unwrap() else { return 0 };
        let seen = changes.len();
        changes.into_iter().for_each(|change| self.registry.apply(change));
        seen
    }

    fn reads(&self, control: &Control, secret: &str) -> bool {
        self.registry.by_secret_mac(&control.mac(secret.as_bytes())).is_some()
    }

    fn imports(&self, control: &Control, key: &str) -> bool {
        self.registry.by_api_key_mac(&control.mac(key.as_bytes())).is_some()
    }
}

fn denied<T: std::fmt::Debug>(outcome: Result<T, PeopleError>) {
    assert!(matches!(outcome, Err(PeopleError::ProjectDenied { .. })), "{outcome:?}");
}

#[test]
fn key_and_secret_are_replaced_together_and_those_before_end_on_time_by_themselves() {
    let (_dir, control, clock) = clocked_store();
    let project = control.host().create_project(&brought(1, "t")).unwrap();
    let mut server = Server::of(&control);
    let reset = control.host().reset_credentials(1, Grace::Hour, &host_proof(&control)).unwrap();
    assert_eq!(reset.former_end_at_ms, Some(NOW_MS + HOUR_MS));
    assert_eq!(server.look(), 1);
    for (key, secret) in [(&project.api_key, &project.api_secret), (&reset.api_key, &reset.api_secret)] {
        assert!(server.imports(&control, key) && server.reads(&control, secret));
    }
    clock.fetch_add(HOUR_MS - 1, Ordering::Relaxed);
    assert_eq!(server.look(), 0);
    assert!(server.reads(&control, &project.api_secret));
    clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(server.look(), 1, "nobody wrote: the time is over");
    assert!(!server.imports(&control, &project.api_key) && !server.reads(&control, &project.api_secret));
    assert!(server.imports(&control, &reset.api_key) && server.reads(&control, &reset.api_secret));
    assert_eq!(server.look(), 0);
    assert!(!Server::of(&control).reads(&control, &project.api_secret), "nor does one that starts now");
}

#[test]
fn without_a_time_to_follow_nothing_but_the_new_ones_is_taken() {
    let (_dir, control) = store();
    let first = control.host().create_project(&brought(1, "t")).unwrap();
    let second = control.host().reset_credentials(1, Grace::Week, &host_proof(&control)).unwrap();
    let third = control.host().reset_credentials(1, Grace::None, &host_proof(&control)).unwrap();
    assert_eq!(third.former_end_at_ms, None);
    let server = Server::of(&control);
    let taken = |secret: &str| server.reads(&control, secret);
    assert_eq!(
        [&first.api_secret, &second.api_secret, &third.api_secret].map(|secret| taken(secret)),
        [false, false, true]
    );
    // The same for those still followed, by hand.
    control.host().reset_credentials(1, Grace::Day, &host_proof(&control)).unwrap();
    assert!(Server::of(&control).reads(&control, &third.api_secret));
    control.host().end_former_credentials(1).unwrap();
    assert!(!Server::of(&control).reads(&control, &third.api_secret));
}

#[test]
fn a_secret_that_still_follows_is_nobody_elses() {
    let (_dir, control) = store();
    let first = control.host().create_project(&brought(1, "t")).unwrap();
    control.host().reset_credentials(1, Grace::Day, &host_proof(&control)).unwrap();
    let mut taken = brought(2, "u");
    taken.api_secret = Some(first.api_secret.clone());
    let error = control.host().create_project(&taken).unwrap_err();
    assert!(error.to_string().contains("the API secret given belongs to project 1"), "{error}");
    control.host().end_former_credentials(1).unwrap();
    control.host().create_project(&taken).expect("free again");
}

#[test]
fn how_the_old_and_the_new_are_used_is_told_apart() {
    let (_dir, control) = store();
    let first = control.host().create_project(&brought(1, "t")).unwrap();
    let second = control.host().reset_credentials(1, Grace::Day, &host_proof(&control)).unwrap();
    let used = |secret: &str, count, last_ms| {
        (Credential::ApiSecret(control.mac(secret.as_bytes())), Uses { count, last_ms })
    };
    control.record_used(&[used(&first.api_secret, 3, 7), used(&second.api_secret, 2, 8)], &[]).unwrap();
    control.record_used(&[used(&first.api_secret, 1, 9)], &[]).unwrap();
    let shown = control.host().project(1).unwrap().project;
    assert_eq!((shown.api_secret_uses, shown.api_secret_last_used_ms), (2, Some(8)));
    let former = shown.former_credentials.iter().find(|former| former.kind == "api_secret").unwrap();
    assert_eq!((former.uses, former.last_used_ms), (4, Some(9)));
}

#[test]
fn only_owners_see_or_replace_the_secret_with_their_password_and_it_is_in_the_audit() {
    let (_dir, control) = store();
    let (_, [owner, admin, member], project) = organisation(&control);
    control.host().set_project_role(project, member, Some(ProjectRole::Analyst)).unwrap();
    for person in [owner, admin, member] {
        control.host().set_password(person, crate::common::PASSWORD, None, &host_proof(&control)).unwrap();
    }
    for person in [admin, member] {
        let acting = control.acting(person);
        denied(acting.reveal_credentials(project, &proof(&control, person)));
        denied(acting.reset_credentials(project, Grace::None, &proof(&control, person)));
        denied(acting.end_former_credentials(project));
    }
    let stale = control.acting(owner).reveal_credentials(project, &proof(&control, admin)).unwrap_err();
    assert!(matches!(stale, PeopleError::PasswordNeeded), "{stale}");
    let reset =
        control.acting(owner).reset_credentials(project, Grace::Day, &proof(&control, owner)).unwrap();
    let shown = control.acting(owner).reveal_credentials(project, &proof(&control, owner)).unwrap();
    assert_eq!((&shown.api_key, &shown.api_secret), (&reset.api_key, &reset.api_secret));
    assert!(!format!("{shown:?}").contains(&shown.api_secret), "no secret in a message");
    let last: Vec<_> = control.audit_entries(2).unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(last, ["project.secret_revealed", "project.secret_reset"]);
    // Members see the project and its token; how the secret is used is the admins' to see.
    control
        .record_used(
            &[(
                Credential::ApiSecret(control.mac(shown.api_secret.as_bytes())),
                Uses { count: 1, last_ms: 5 },
            )],
            &[],
        )
        .unwrap();
    let seen = |person: PersonId| control.acting(person).project(project).unwrap().project;
    assert_eq!((seen(admin).api_secret_uses, seen(admin).former_credentials.len()), (1, 2));
    assert_eq!((seen(member).api_secret_uses, seen(member).former_credentials.len()), (0, 0));
    assert_eq!(seen(member).token, seen(owner).token);
}

#[test]
fn a_token_retires_on_time_and_can_be_had_back_and_one_always_stays() {
    let (_dir, control, clock) = clocked_store();
    control.host().create_project(&brought(1, "shipped")).unwrap();
    let two = control.host().new_token(1).unwrap();
    let new = two.tokens[1].token.clone();
    let mut server = Server::of(&control);
    let host = control.host();
    let retired = host.retire_token(1, "shipped", Some(NOW_MS + DAY_MS)).unwrap();
    assert_eq!((retired.token.as_str(), retired.tokens.len()), (new.as_str(), 2));
    let last = host.retire_token(1, &new, Some(NOW_MS)).unwrap_err();
    assert!(matches!(last, PeopleError::Project(ProjectError::LastToken { .. })), "{last}");
    server.look();
    assert!(server.registry.token(b"shipped").is_some());
    clock.fetch_add(DAY_MS, Ordering::Relaxed);
    assert_eq!(server.look(), 1, "nobody wrote: the time is over");
    assert!(server.registry.token(b"shipped").is_none() && server.registry.token(new.as_bytes()).is_some());
    assert_eq!(control.project_of_token("shipped").unwrap(), None);
    let taken = host.create_project(&brought(2, "shipped")).unwrap_err();
    assert!(taken.to_string().contains("belongs to project 1"), "nobody takes it by accident: {taken}");
    host.retire_token(1, "shipped", None).unwrap();
    server.look();
    assert!(server.registry.token(b"shipped").is_some());
    host.remove_token(1, "shipped").unwrap();
    host.create_project(&brought(2, "shipped")).expect("free again");
}

#[test]
fn each_token_of_several_has_its_own_count_and_last_use() {
    let (_dir, control) = store();
    control.host().create_project(&brought(1, "old")).unwrap();
    control.host().add_token(1, "new").unwrap();
    let used = |token: &str, events, last_ms| UsedToken {
        project: ProjectId::new(1).unwrap(),
        token: token.as_bytes().into(),
        events,
        last_ms,
    };
    control.record_used(&[], &[used("old", 5, 61_000), used("new", 7, 125_000)]).unwrap();
    control.record_used(&[], &[used("old", 1, 62_000), used("never seen", 1, 1)]).unwrap();
    let shown = control.host().project(1).unwrap().project.tokens;
    let shown: Vec<_> = shown.iter().map(|token| (&*token.token, token.events, token.last_used_ms)).collect();
    assert_eq!(shown, [("old", 6, Some(60_000)), ("new", 7, Some(120_000))]);
}

#[test]
fn a_token_that_is_alone_has_what_the_project_received_and_keeps_it_when_others_come_and_go() {
    let (dir, control, clock) = clocked_store();
    let host = control.host();
    host.create_project(&brought(1, "old")).unwrap();
    let received = |minute: u64, events| {
        let owner = Owner::Project(ProjectId::new(1).unwrap());
        let row = Row { minute_ms: minute * 60_000, owner, kind: Kind::Received, events, bytes: 9 };
        control.record_accounting(&[row], &[]).unwrap();
    };
    let used = |token: &str, minute: u64, events| {
        let (project, token) = (ProjectId::new(1).unwrap(), token.as_bytes().into());
        let last_ms = minute * 60_000;
        control.record_used(&[], &[UsedToken { project, token, events, last_ms }]).unwrap();
    };
    let shown = || -> Vec<(String, u64, Option<u64>)> {
        let minute = |ms| ms / 60_000;
        let tokens = host.project(1).unwrap().project.tokens.into_iter();
        tokens.map(|token| (token.token, token.events, token.last_used_ms.map(minute))).collect()
    };
    let of = |token: &str, events, minute| (token.to_owned(), events, minute);
    let merge = || control.merge_accounting(Keep::default()).unwrap();
    assert_eq!(shown(), [of("old", 0, None)]);
    received(1, 5);
    assert_eq!(shown(), [of("old", 5, Some(1))]);
    received(2, 1);
    merge();
    assert_eq!(shown(), [of("old", 6, Some(2))]);
    host.add_token(1, "new").unwrap();
    received(3, 3);
    used("new", 3, 3);
    merge();
    assert_eq!(shown(), [of("old", 6, Some(2)), of("new", 3, Some(3))]);
    // The time of one ends, and nobody does anything.
    host.retire_token(1, "old", Some(NOW_MS + HOUR_MS)).unwrap();
    received(4, 2);
    used("old", 4, 2);
    clock.fetch_add(2 * HOUR_MS, Ordering::Relaxed);
    assert_eq!(shown(), [of("old", 8, Some(4)), of("new", 3, Some(3))]);
    received(5, 4);
    for _ in 0..2 {
        assert_eq!(shown(), [of("old", 8, Some(4)), of("new", 7, Some(5))]);
        control.prune(Keep::default()).unwrap();
    }
    host.retire_token(1, "old", None).unwrap();
    assert_eq!(shown(), [of("old", 8, Some(4)), of("new", 7, Some(5))]);
    host.remove_token(1, "new").unwrap();
    received(6, 1);
    let again = Control::open(dir.path()).unwrap();
    let tokens = again.host().project(1).unwrap().project.tokens;
    assert_eq!((tokens[0].events, tokens[0].last_used_ms), (9, Some(6 * 60_000)));
    // Another project of the same number has received nothing.
    host.delete_project(1, &host_proof(&control)).unwrap();
    clock.fetch_add(40 * DAY_MS, Ordering::Relaxed);
    control.prune(Keep::default()).unwrap();
    host.create_project(&brought(1, "other")).unwrap();
    assert_eq!(shown(), [of("other", 0, None)]);
    received(7, 2);
    assert_eq!(shown(), [of("other", 2, Some(7))]);
}

#[test]
fn a_service_accounts_secret_is_rotated_with_both_taken_for_a_while() {
    let (_dir, control, clock) = clocked_store();
    control.host().create_project(&brought(1, "t")).unwrap();
    let new = NewAccount { username: Some("etl".into()), projects: vec![1.into()], ..NewAccount::default() };
    let first = control.host().create_service_account(&new).unwrap();
    let mut server = Server::of(&control);
    let second = control.host().rotate_service_account("etl", Grace::Day).unwrap();
    assert_eq!(second.former_ends_at_ms, Some(NOW_MS + DAY_MS));
    server.look();
    let accepts = |server: &Server, secret: &str| {
        let account = server.registry.service_account("etl").unwrap();
        account.accepts(&control.mac(secret.as_bytes()), clock.load(Ordering::Relaxed))
    };
    assert!(accepts(&server, &first.secret) && accepts(&server, &second.secret));
    let used = |secret: &str, count| {
        (Credential::ServiceAccount("etl".into(), control.mac(secret.as_bytes())), Uses { count, last_ms: 9 })
    };
    control.record_used(&[used(&first.secret, 2), used(&second.secret, 5)], &[]).unwrap();
    let shown = control.host().list_service_accounts(None).unwrap().remove(0);
    assert_eq!((shown.uses, shown.former_uses, shown.former_last_used_ms), (5, 2, Some(9)));
    clock.fetch_add(DAY_MS, Ordering::Relaxed);
    assert!(!accepts(&server, &first.secret) && accepts(&server, &second.secret));
    let third = control.host().rotate_service_account("etl", Grace::None).unwrap();
    server.look();
    assert!(!accepts(&server, &second.secret) && accepts(&server, &third.secret));
    // And the whole account, on its day.
    control.host().set_account_expiry("etl", Some(NOW_MS + 2 * DAY_MS)).unwrap();
    server.look();
    assert!(accepts(&server, &third.secret));
    clock.fetch_add(DAY_MS, Ordering::Relaxed);
    assert!(!accepts(&server, &third.secret));
}

#[test]
fn service_accounts_are_managed_within_ones_role() {
    let (_dir, control) = store();
    let (id, [_, admin, member], project) = organisation(&control);
    let [project_admin, other] = ["project admin", "other"].map(|name| {
        let new = forebay_control::NewPerson {
            email: format!("{}@example.com", name.replace(' ', ".")),
            name: name.to_owned(),
            password: None,
        };
        control.host().create_member(&new, id, OrganisationRole::Member).unwrap().id
    });
    let second = control.host().create_project(&brought(2, "second")).unwrap().id;
    control.host().set_project_role(project, project_admin, Some(ProjectRole::Admin)).unwrap();
    let account = |username: &str, projects: &[(u64, ProjectRole)]| NewAccount {
        username: Some(username.to_owned()),
        projects: projects.iter().map(|&(id, role)| AccountProject { id, role }).collect(),
        ..NewAccount::default()
    };
    let create =
        |acting: Acting<'_>, new: &NewAccount| acting.create_service_account(new).map(|made| made.username);
    let above = account("above", &[(project, ProjectRole::Owner)]);
    denied(create(control.acting(admin), &above));
    denied(create(control.acting(project_admin), &above));
    let here = account("here", &[(project, ProjectRole::Analyst)]);
    for person in [member, other] {
        assert!(create(control.acting(person), &here).is_err());
    }
    create(control.acting(project_admin), &here).unwrap();
    let both = account("both", &[(project, ProjectRole::Admin), (second, ProjectRole::Admin)]);
    assert!(create(control.acting(project_admin), &both).is_err(), "the other project is none of theirs");
    create(control.acting(admin), &both).unwrap();
    create(control.host(), &above).unwrap();
    let names = |acting: Acting<'_>, of| -> Vec<String> {
        acting.list_service_accounts(of).unwrap().into_iter().map(|account| account.username).collect()
    };
    assert_eq!(names(control.acting(admin), None), ["above", "both", "here"]);
    assert_eq!(
        names(control.acting(project_admin), None),
        ["above", "both", "here"],
        "those of their project"
    );
    assert_eq!(names(control.acting(member), None), [""; 0]);
    assert_eq!(names(control.acting(project_admin), ProjectId::new(project)), ["above", "both", "here"]);
    // What is above oneself, or reaches further, is not one's own to change.
    denied(control.acting(admin).rotate_service_account("above", Grace::None).map(|_| ()));
    denied(control.acting(admin).delete_service_account("above"));
    assert!(control.acting(project_admin).delete_service_account("both").is_err());
    let left = control.acting(project_admin).remove_account_from_project("both", project).unwrap();
    assert_eq!(left.projects.iter().map(|of| of.id).collect::<Vec<_>>(), [second]);
    let raised = AccountProject { id: project, role: ProjectRole::Admin };
    control.acting(project_admin).add_account_to_project("here", raised).unwrap();
    control.acting(project_admin).delete_service_account("here").unwrap();
}

#[test]
fn a_gdpr_token_is_its_persons_for_a_year_at_most_and_ends_with_the_role() {
    let (_dir, control, clock) = clocked_store();
    let (id, [owner, _, member], project) = organisation(&control);
    let stranger = enter_with_password(&control, "stranger");
    for person in [owner, member] {
        control.host().set_password(person, crate::common::PASSWORD, None, &host_proof(&control)).unwrap();
    }
    let reset =
        |person, days| control.acting(person).reset_gdpr_token(person, days, &proof(&control, person));
    for person in [stranger, member] {
        assert!(matches!(reset(person, 30), Err(PeopleError::NoProjectToErase)));
        assert_eq!(control.acting(person).gdpr_token(person).unwrap(), None);
    }
    for days in [0, 366] {
        assert!(matches!(reset(owner, days), Err(PeopleError::ExpiryInvalid { .. })), "{days}");
    }
    let first = reset(owner, 365).unwrap();
    assert!(!format!("{first:?}").contains(&first.token), "no secret in a message");
    assert_eq!(control.person_of_gdpr_token(&first.token).unwrap(), Some(owner));
    let shown = control.acting(owner).gdpr_token(owner).unwrap().unwrap();
    assert_eq!((shown.uses, shown.last_used_ms), (1, Some(NOW_MS)));
    let second = reset(owner, 30).unwrap();
    assert_eq!(control.person_of_gdpr_token(&first.token).unwrap(), None, "at once");
    clock.fetch_add(30 * DAY_MS, Ordering::Relaxed);
    assert_eq!(control.person_of_gdpr_token(&second.token).unwrap(), None, "its time is over");
    assert_eq!(control.acting(owner).gdpr_token(owner).unwrap(), None);

    // It dies with the last role that it was given for, and does not come back with another.
    control.host().set_project_role(project, member, Some(ProjectRole::Admin)).unwrap();
    let third = reset(member, 30).unwrap();
    control.host().set_project_role(project, member, Some(ProjectRole::Analyst)).unwrap();
    control.host().set_project_role(project, member, Some(ProjectRole::Owner)).unwrap();
    assert_eq!(control.person_of_gdpr_token(&third.token).unwrap(), None);
    let fourth = reset(member, 30).unwrap();
    control.host().remove_member(id, member).unwrap();
    assert_eq!(control.person_of_gdpr_token(&fourth.token).unwrap(), None);
    control.host().set_organisation_role(id, member, OrganisationRole::Admin).unwrap();
    let fifth = reset(member, 30).unwrap();
    control.host().delete_project(project, &host_proof(&control)).unwrap();
    assert_eq!(control.person_of_gdpr_token(&fifth.token).unwrap(), None);
}

#[test]
fn a_change_of_nothing_that_ends_is_told_once() {
    let (_dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    let (_, mut watch) = control.watch().unwrap();
    control.host().reset_credentials(1, Grace::Week, &host_proof(&control)).unwrap();
    assert!(
        matches!(watch.poll().unwrap(), Poll::Changes(changes) if matches!(&changes[..], [Change::Project(_)]))
    );
    assert_eq!(watch.poll().unwrap(), Poll::Nothing);
}

#[test]
fn an_account_is_had_by_its_name_as_it_is_among_all() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::open(dir.path()).unwrap();
    let host = control.host();
    for id in [7, 8] {
        host.create_project(&NewProject { id: Some(id), name: "p".into(), ..NewProject::default() }).unwrap();
    }
    for (username, projects) in [("b", vec![7, 8]), ("a", vec![8]), ("c", vec![7])] {
        let projects = projects.into_iter().map(Into::into).collect();
        let new = NewAccount { username: Some(username.into()), projects, ..NewAccount::default() };
        host.create_service_account(&new).unwrap();
    }
    for account in host.list_service_accounts(None).unwrap() {
        assert_eq!(host.service_account(&account.username).unwrap(), account);
        assert!(!account.projects.is_empty());
    }
    let none = host.service_account("B").unwrap_err();
    assert!(matches!(none, PeopleError::Account(AccountError::NotFound { .. })), "{none}");
}

#[test]
fn who_used_key_and_secret_in_the_last_thirty_days_is_told_bounded_and_forgotten_with_a_reset() {
    let (_dir, control, clock) = clocked_store();
    let project = control.host().create_project(&named("shop")).unwrap();
    let id = ProjectId::new(project.id).unwrap();
    let record = |is_secret: bool, user_agent: &str, from: Option<[u8; 4]>, count: u64| {
        let caller = Caller::new(id, is_secret, user_agent.as_bytes(), from.map(Into::into));
        let last_ms = clock.load(Ordering::Relaxed);
        control.record_callers(&[(caller, Uses { count, last_ms })]).unwrap();
    };
    let shown = || -> Vec<String> {
        let callers = control.host().callers(project.id).unwrap();
        let line = |c: &CallerInfo| {
            format!(
                "{} {:?} {:?} {}",
                if c.is_secret { "secret" } else { "key" },
                c.user_agent,
                c.address,
                c.uses
            )
        };
        callers.iter().map(line).collect()
    };
    record(true, "tap/1", Some([192, 0, 2, 7]), 3);
    clock.fetch_add(24 * 3_600_000, Ordering::Relaxed);
    record(true, "tap/1", Some([192, 0, 2, 7]), 4);
    clock.fetch_add(1000, Ordering::Relaxed);
    record(false, "", None, 1);
    assert_eq!(shown(), ["key \"\" None 1", "secret \"tap/1\" Some(\"192.0.2.7\") 7"]);
    // The first day falls out of the thirty.
    clock.fetch_add(29 * 24 * 3_600_000, Ordering::Relaxed);
    assert_eq!(shown(), ["key \"\" None 1", "secret \"tap/1\" Some(\"192.0.2.7\") 4"]);
    // However many there are, a day tells fifty of them apart.
    for n in 0..80_u8 {
        record(true, &format!("many/{n}"), Some([198, 51, 100, n]), 1);
    }
    assert_eq!(shown().len(), 2 + 50 + 1);
    assert!(shown().contains(&"secret \"\" None 30".to_owned()), "{:?}", shown());
    // Who may not see them, and where they end.
    let stranger = enter(&control, "stranger");
    assert!(control.acting(stranger).callers(project.id).is_err());
    control.host().reset_credentials(project.id, Grace::Day, &host_proof(&control)).unwrap();
    assert_eq!(shown(), Vec::<String>::new());
    record(true, "tap/1", Some([192, 0, 2, 7]), 1);
    let masked = ProjectChange { client_address: Some(ClientAddress::Mask), ..ProjectChange::default() };
    control.host().change_project(project.id, &masked).unwrap();
    assert_eq!(shown(), Vec::<String>::new(), "no address is kept that the project would not keep");
}
