//! `/api/app/me`: who one is and what one may see. Clients use it to find out whether a credential is any good.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{answer::Answer, api::ok, refusal::Refusal, visit::Visit};

/// Answers it.
pub(crate) fn me(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let person = &visit.who()?.person;
    let acting = visit.acting()?;
    let organisations: BTreeMap<String, Value> = acting
        .organisations()?
        .into_iter()
        .map(|one| {
            let value = json!({ "id": one.id, "name": one.name, "role": one.role, "permissions": [] });
            (one.id.to_string(), value)
        })
        .collect();
    Ok(ok(json!({
        "user_id": person.id, "user_email": person.email, "user_name": person.name,
        "organizations": organisations, "workspaces": {},
    })))
}
