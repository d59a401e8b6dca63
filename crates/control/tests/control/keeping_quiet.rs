//! What is not told: who is known here, to those who share nothing with them; and no secret, to whoever reads a log.

use forebay_control::{
    HandOver, NewAccount, NewPerson, NewProject, OrganisationRole, PeopleError, PersonChange, ProjectRole,
};

use crate::common::{PASSWORD, clocked_store, enter_with_password, organisation, proof, sign_in, store};

#[test]
fn nobody_is_found_out_or_pulled_into_an_organisation_by_their_number() {
    let (_dir, control) = store();
    let (id, [owner, ..], project) = organisation(&control);
    control.host().set_password(owner, PASSWORD, None, &crate::common::host_proof(&control)).unwrap();
    let stranger = enter_with_password(&control, "stranger");
    control.acting(stranger).create_organisation("elsewhere", None).unwrap();
    let acting = control.acting(owner);
    let unknown = |error: PeopleError| {
        assert!(matches!(error, PeopleError::PersonNotFound { .. }), "{error}");
        assert!(!error.to_string().contains("stranger"), "{error}");
    };
    unknown(acting.set_organisation_role(id, stranger, OrganisationRole::Member).unwrap_err());
    unknown(acting.set_project_role(project, stranger, Some(ProjectRole::Consumer)).unwrap_err());
    unknown(acting.remove_member(id, stranger).unwrap_err());
    let hand_over = HandOver { organisation: id, to: stranger };
    let error = acting.delete_person(owner, &proof(&control, owner), &[hand_over]).unwrap_err();
    assert!(
        matches!(error, PeopleError::NotAMember { .. }) && !error.to_string().contains("stranger"),
        "{error}"
    );
    // Exactly as somebody who is not there at all.
    let nobody = forebay_control::PersonId(4711);
    unknown(acting.set_organisation_role(id, nobody, OrganisationRole::Member).unwrap_err());
    let members = control.host().organisation(id).unwrap().members;
    assert!(members.iter().all(|member| member.id != stranger), "{members:?}");
}

#[test]
fn whether_an_address_is_taken_is_as_hard_to_find_out_as_a_password() {
    let (_dir, control, _clock) = clocked_store();
    let zoe = enter_with_password(&control, "zoe");
    enter_with_password(&control, "ann");
    let acting = control.acting(zoe);
    let change = PersonChange { email: Some("Ann@example.com".to_owned()), ..PersonChange::default() };
    let of_zoe = proof(&control, zoe);
    for _ in 0..10 {
        let error = acting.change_person(zoe, &change, Some(&of_zoe)).unwrap_err();
        assert!(matches!(error, PeopleError::EmailTaken { .. }), "{error}");
    }
    let error = acting.change_person(zoe, &change, Some(&of_zoe)).unwrap_err();
    assert!(matches!(error, PeopleError::Throttled { .. }), "{error}");
    control.host().change_person(zoe, &change, Some(&crate::common::host_proof(&control))).unwrap_err();
}

#[test]
fn nothing_that_holds_a_secret_prints_it() {
    let person = NewPerson {
        email: "zoe@example.com".to_owned(),
        name: "Zoe".to_owned(),
        password: Some("s3cret".to_owned()),
    };
    let account = NewAccount { secret: Some("s3cret".to_owned()), ..NewAccount::default() };
    let project = NewProject {
        api_key: Some("s3cret".to_owned()),
        api_secret: Some("s3cret".to_owned()),
        ..NewProject::default()
    };
    let attempt = forebay_control::SignIn { code: Some("s3cret"), ..sign_in("zoe@example.com", "s3cret") };
    for printed in
        [format!("{person:?}"), format!("{account:?}"), format!("{project:?}"), format!("{attempt:?}")]
    {
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
