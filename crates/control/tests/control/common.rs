//! A store in a directory of its own, with a clock that stands still.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_control::{Control, NewPerson, NewProject, Options, PasswordProof, PersonId, SignIn};
use tempfile::TempDir;

/// 2025-10-09T08:53:20Z
pub(crate) const NOW_MS: u64 = 1_760_000_000_000;

pub(crate) fn options(now_ms: u64) -> Options {
    Options {
        actor: "a test".to_owned(),
        clock: Arc::new(move || now_ms),
        busy_timeout: Duration::from_secs(20),
        ..Options::default()
    }
}

pub(crate) fn open(dir: &Path) -> Control {
    Control::open_with(dir, options(NOW_MS)).unwrap()
}

pub(crate) fn store() -> (TempDir, Control) {
    let dir = tempfile::tempdir().unwrap();
    let control = open(dir.path());
    (dir, control)
}

/// A store whose clock the test moves.
pub(crate) fn clocked_store() -> (TempDir, Control, Arc<AtomicU64>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let ticking = Arc::clone(&clock);
    let options = Options { clock: Arc::new(move || ticking.load(Ordering::Relaxed)), ..options(NOW_MS) };
    let control = Control::open_with(dir.path(), options).unwrap();
    (dir, control, clock)
}

pub(crate) fn named(name: &str) -> NewProject {
    NewProject { name: name.to_owned(), ..NewProject::default() }
}

pub(crate) fn brought(id: u64, token: &str) -> NewProject {
    NewProject {
        name: format!("project {id}"),
        id: Some(id),
        token: Some(token.to_owned()),
        api_key: Some(format!("key-of-{id}")),
        api_secret: Some(format!("secret-of-{id}")),
        ..NewProject::default()
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

pub(crate) fn enter(control: &Control, name: &str) -> PersonId {
    let email = format!("{name}@example.com");
    control.host().create_person(&NewPerson { email, name: name.to_owned(), password: None }).unwrap().id
}

pub(crate) fn enter_with_password(control: &Control, name: &str) -> PersonId {
    let id = enter(control, name);
    control.host().set_password(id, PASSWORD, None, &host_proof(control)).unwrap();
    id
}

/// The host gives no password.
pub(crate) fn host_proof(control: &Control) -> PasswordProof {
    control.host().prove_password("").unwrap()
}

pub(crate) fn proof(control: &Control, person: PersonId) -> PasswordProof {
    control.acting(person).prove_password(PASSWORD).unwrap()
}

/// An organisation with an owner, an admin and a member, in this order, and a project of it.
pub(crate) fn organisation(control: &Control) -> (u64, [PersonId; 3], u64) {
    let project = control
        .host()
        .create_project(&NewProject { name: "shop".to_owned(), ..NewProject::default() })
        .unwrap();
    let people = ["owner", "admin", "member"].map(|name| enter(control, name));
    for (person, role) in people.into_iter().zip(["owner", "admin", "member"]) {
        control.host().set_organisation_role(1, person, role.parse().unwrap()).unwrap();
    }
    (1, people, project.id)
}

pub(crate) fn sign_in<'a>(email: &'a str, password: &'a str) -> SignIn<'a> {
    SignIn { email, password, code: None, address: HOME, user_agent: "a browser", device: None }
}
