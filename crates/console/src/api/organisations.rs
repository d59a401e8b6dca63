//! Calls about organisations: which there are, their rules, their audit, their end.

use forebay_control::AuditFilter;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Answer,
    api::{Password, created, document, done, ok, proof, schema::Parameter},
    refusal::Refusal,
    visit::Visit,
};

/// Those one belongs to.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.organisations()?))
}

/// An organisation and who belongs to it.
pub(crate) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(visit.organisation()?))
}

/// An organisation to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewOrganization")]
pub(crate) struct Create {
    name: String,
}

/// Makes one, owned by whoever asks.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Create = document(visit)?;
    Ok(created(&visit.acting()?.create_organisation(&asked.name, None)?))
}

/// What is to change of an organisation; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrganizationChange")]
pub(crate) struct Change {
    name: Option<String>,
    /// Whether everybody who does something in it needs a second factor.
    requires_two_factor: Option<bool>,
}

/// Changes name and rules, one after the other.
pub(crate) fn change(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Change = document(visit)?;
    let (acting, id) = (visit.acting()?, visit.organisation()?.id);
    if let Some(name) = asked.name {
        acting.rename_organisation(id, &name)?;
    }
    if let Some(required) = asked.requires_two_factor {
        acting.require_two_factor(id, required)?;
    }
    Ok(ok(&acting.organisation(id)?))
}

/// Deletes one that nothing is left in.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    visit.acting()?.delete_organisation(visit.organisation()?.id, &proof)?;
    Ok(done())
}

/// What [`audit`] takes.
pub(crate) const AUDIT: &[Parameter] = &[
    Parameter { name: "before", about: "The `next` of the page before", is_number: true },
    Parameter {
        name: "action",
        about: "This action, or with a dot at the end all that begin so",
        is_number: false,
    },
];

/// Its audit, a page of up to a hundred.
pub(crate) fn audit(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let filter = AuditFilter {
        organisation: Some(visit.organisation()?.id),
        before: visit.query_number("before")?,
        action: visit.query.given("action").map(str::to_owned),
        limit: 100,
        ..AuditFilter::default()
    };
    Ok(ok(&visit.acting()?.audit(&filter)?))
}
