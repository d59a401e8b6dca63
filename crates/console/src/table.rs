//! Every route there is. To add a page: write its handler, and a line here.

use forebay_control::{OrganisationRole, ProjectRole};

use crate::{
    api, assets, page,
    route::{Face, Handler, Needs, Route, Verb},
};

const fn page(verb: Verb, path: &'static str, needs: Needs, about: &'static str, handler: Handler) -> Route {
    Route { verb, path, needs, face: Face::Page, about, handler }
}

const fn call(verb: Verb, path: &'static str, needs: Needs, about: &'static str, handler: Handler) -> Route {
    Route { verb, path, needs, face: Face::Call, about, handler }
}

const NOBODY: Needs = Needs::Nobody;
const SOMEBODY: Needs = Needs::Somebody;
const PERSON: Needs = Needs::Person;
const MEMBER: Needs = Needs::Organisation(OrganisationRole::Member);
const ORG_ADMIN: Needs = Needs::Organisation(OrganisationRole::Admin);
const ANALYST: Needs = Needs::Project(ProjectRole::Analyst);
const ADMIN: Needs = Needs::Project(ProjectRole::Admin);
const OWNER: Needs = Needs::Project(ProjectRole::Owner);
const CONSUMER: Needs = Needs::Project(ProjectRole::Consumer);

use Verb::{Delete, Get, Post};

/// All of them; of two that match a path, the first counts.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    // Coming in.
    page(Get, "/", NOBODY, "The way in", page::entry::home),
    page(Get, "/console", NOBODY, "The way in", page::entry::home),
    page(Get, assets::PATH, NOBODY, "A file of the pages' look", assets::serve),
    page(Get, "/console/sign-in", NOBODY, "Ask for address and password", page::entry::sign_in_page),
    page(Post, "/console/sign-in", NOBODY, "Sign in", page::entry::sign_in),
    page(Post, "/console/sign-in/code", NOBODY, "Give the code of a second factor", page::entry::code),
    page(Post, "/console/sign-in/resend", NOBODY, "Have another code sent", page::entry::resend),
    page(Post, "/console/sign-out", PERSON, "Sign out", page::entry::sign_out),
    page(Get, "/console/setup", NOBODY, "Ask the first person who they are", page::joining::setup_page),
    page(Post, "/console/setup", NOBODY, "Set up the server", page::joining::set_up),
    page(Get, "/console/invitation", NOBODY, "Show an invitation", page::joining::invitation_page),
    page(Post, "/console/invitation", NOBODY, "Take an invitation", page::joining::accept),

    // Projects.
    page(Get, "/console/projects", PERSON, "The projects one may see", page::projects::list),
    page(Get, "/console/projects/{project}", CONSUMER, "A project at a glance", page::overview::page),
    page(Get, "/console/projects/{project}/live", CONSUMER, "The part of it that changes", page::overview::live),
    page(Get, "/console/projects/{project}/rejected", CONSUMER, "What was rejected of late", page::overview::rejected),
    page(Get, "/console/projects/{project}/export", ANALYST, "What an export would bring, and the line that fetches it", page::export::page),
    page(Get, "/console/projects/{project}/export/file", ANALYST, "The events as a file", page::export::file),
    page(Get, "/console/projects/{project}/keys", ADMIN, "Its access keys", page::keys::page),
    page(Post, "/console/projects/{project}/keys/tokens", ADMIN, "Add a token", page::keys::add_token),
    page(Get, "/console/projects/{project}/keys/tokens/remove", OWNER, "Ask whether a token is to go", page::keys::remove_page),
    page(Post, "/console/projects/{project}/keys/tokens/remove", OWNER, "Remove a token", page::keys::remove_token),
    page(Post, "/console/projects/{project}/keys/reveal", OWNER, "Show key and secret again", page::keys::reveal),
    page(Get, "/console/projects/{project}/keys/reset", OWNER, "Ask whether key and secret are to be reset", page::keys::reset_page),
    page(Post, "/console/projects/{project}/keys/reset", OWNER, "Reset key and secret", page::keys::reset),
    page(Post, "/console/projects/{project}/keys/end-former", OWNER, "End the former key and secret", page::keys::end_former),
    page(Get, "/console/projects/{project}/members", CONSUMER, "Who has a role in it", page::people::page),
    page(Post, "/console/projects/{project}/members", ADMIN, "Give somebody a role in it", page::people::set_role),
    page(Post, "/console/projects/{project}/members/invite", ADMIN, "Invite somebody to it", page::people::invite),
    page(Get, "/console/projects/{project}/accounts", ADMIN, "Its service accounts", page::accounts::page),
    page(Post, "/console/projects/{project}/accounts", ADMIN, "Make a service account", page::accounts::create),
    page(Post, "/console/projects/{project}/accounts/{account}/rotate", ADMIN, "Give it another secret", page::accounts::rotate),
    page(Get, "/console/projects/{project}/accounts/{account}/delete", ADMIN, "Ask whether it is to be deleted", page::accounts::delete_page),
    page(Post, "/console/projects/{project}/accounts/{account}/delete", ADMIN, "Delete it", page::accounts::delete),
    page(Get, "/console/projects/{project}/settings", ADMIN, "Its settings", page::settings::page),
    page(Post, "/console/projects/{project}/settings", ADMIN, "Change its settings", page::settings::save),
    page(Get, "/console/projects/{project}/settings/retention", OWNER, "Ask whether its events are to be kept for so long only", page::settings::retention_page),
    page(Post, "/console/projects/{project}/settings/retention", OWNER, "Change how long its events are kept", page::settings::save_retention),
    page(Get, "/console/projects/{project}/settings/delete", OWNER, "Ask whether it is to be deleted", page::settings::delete_page),
    page(Post, "/console/projects/{project}/settings/delete", OWNER, "Delete it", page::settings::delete),
    page(Get, "/console/unclaimed", Needs::Operator, "Tokens that belong to no project", page::unclaimed::page),
    page(Post, "/console/unclaimed", Needs::Operator, "Give one to a project", page::unclaimed::claim),
    page(Get, "/console/messages", Needs::Operator, "Messages to people, and what became of them", page::messages::page),

    // Organisations.
    page(Get, "/console/organisations", PERSON, "The organisations one belongs to", page::organisations::list),
    page(Post, "/console/organisations", PERSON, "Make an organisation", page::organisations::create),
    page(Get, "/console/organisations/{organisation}", MEMBER, "An organisation", page::organisations::page),
    page(Post, "/console/organisations/{organisation}/name", ORG_ADMIN, "Rename it", page::organisations::rename),
    page(Post, "/console/organisations/{organisation}/second-factor", ORG_ADMIN, "Require a second factor in it", page::organisations::require_second_factor),
    page(Get, "/console/organisations/{organisation}/members", MEMBER, "Its members", page::members::page),
    page(Post, "/console/organisations/{organisation}/members/{person}/role", ORG_ADMIN, "Give a member another role", page::members::set_role),
    page(Get, "/console/organisations/{organisation}/members/{person}/remove", MEMBER, "Ask whether a member is to go", page::members::remove_page),
    page(Post, "/console/organisations/{organisation}/members/{person}/remove", MEMBER, "Remove a member, or leave", page::members::remove),
    page(Post, "/console/organisations/{organisation}/invitations", ORG_ADMIN, "Invite somebody", page::members::invite),
    page(Post, "/console/organisations/{organisation}/invitations/{invitation}/revoke", ORG_ADMIN, "Take an invitation back", page::members::revoke),
    page(Get, "/console/organisations/{organisation}/projects/new", ORG_ADMIN, "Ask what a project is to be called", page::projects::new_page),
    page(Post, "/console/organisations/{organisation}/projects/new", ORG_ADMIN, "Make a project", page::projects::create),
    page(Post, "/console/organisations/{organisation}/projects/{deleted}/undelete", ORG_ADMIN, "Take a deleted project back", page::organisations::undelete),
    page(Get, "/console/organisations/{organisation}/audit", ORG_ADMIN, "Who did what", page::audit::of_organisation),
    page(Get, "/console/organisations/{organisation}/audit/file", ORG_ADMIN, "The same as a file", page::audit::of_organisation_file),

    // One's own settings.
    page(Get, "/console/me", PERSON, "One's profile", page::me::profile),
    page(Post, "/console/me/name", PERSON, "Change one's name", page::me::rename),
    page(Post, "/console/me/email", PERSON, "Change one's address", page::me::change_email),
    page(Get, "/console/me/password", PERSON, "Ask for another password", page::me::password_page),
    page(Post, "/console/me/password", PERSON, "Change one's password", page::me::change_password),
    page(Get, "/console/me/second-factor", PERSON, "One's second factor", page::second_factor::page),
    page(Post, "/console/me/second-factor/begin", PERSON, "Begin to set one up", page::second_factor::begin),
    page(Post, "/console/me/second-factor/phone", PERSON, "Begin to set up a phone", page::second_factor::begin_phone),
    page(Post, "/console/me/second-factor/phone/resend", PERSON, "Have another code sent", page::second_factor::resend),
    page(Post, "/console/me/second-factor/confirm", PERSON, "Switch it on", page::second_factor::confirm),
    page(Post, "/console/me/second-factor/codes", PERSON, "Get new recovery codes", page::second_factor::renew_codes),
    page(Post, "/console/me/second-factor/end", PERSON, "Switch it off", page::second_factor::end),
    page(Get, "/console/me/sessions", PERSON, "Where one is signed in", page::me::sessions),
    page(Post, "/console/me/sessions/end", PERSON, "End all other sessions", page::me::end_sessions),
    page(Get, "/console/me/preferences", PERSON, "What one set for oneself", page::data::preferences),
    page(Post, "/console/me/preferences", PERSON, "Change it", page::data::save_preferences),
    page(Post, "/console/me/preferences/notice-code", PERSON, "Have a code sent to the address for notices", page::data::send_notice_code),
    page(Post, "/console/me/preferences/notice-confirm", PERSON, "Confirm the address for notices", page::data::confirm_notice_email),
    page(Get, "/console/me/data", PERSON, "Data and privacy", page::data::page),
    page(Post, "/console/me/data/request", PERSON, "Ask for one's data", page::data::request),
    page(Get, "/console/me/data/file", PERSON, "One's data as a file", page::data::download),
    page(Get, "/console/me/data/erase", PERSON, "Ask whether it is to be erased", page::data::erase_page),
    page(Post, "/console/me/data/erase", PERSON, "Erase it", page::data::erase),
    page(Get, "/console/me/data/gdpr", PERSON, "Ask whether the GDPR token is to be reset", page::data::gdpr_page),
    page(Post, "/console/me/data/gdpr", PERSON, "Reset it", page::data::reset_gdpr),
    page(Post, "/console/me/data/gdpr/end", PERSON, "End it", page::data::end_gdpr),
    page(Get, "/console/me/delete", PERSON, "Ask whether one's account is to go", page::me::delete_page),
    page(Post, "/console/me/delete", PERSON, "Delete one's account", page::me::delete),

    // Calls.
    call(Get, "/api/app/me", SOMEBODY, "Who one is, and what one may see", api::me::me),
    call(Get, "/settings/project/{project}/metadata", ADMIN, "A project's name, token and time zone", api::projects::metadata),
    call(Get, "/api/app/projects/{project}/metadata", ADMIN, "The same by another path", api::projects::metadata),
    call(Get, "/api/app/projects/{project}", CONSUMER, "A project", api::projects::show),
    call(Get, "/api/app/projects/{project}/stats", CONSUMER, "What became of its events in the last day", api::projects::stats),
    call(Get, "/api/app/projects/{project}/service-accounts", ADMIN, "Its service accounts", api::accounts::of_project),
    call(Get, "/api/app/organizations/{organisation}", MEMBER, "An organisation", api::organisations::show),
    call(Get, "/api/app/organizations/{organisation}/audit", ORG_ADMIN, "Who did what in it, newest first", api::organisations::audit),
    call(Post, "/api/app/organizations/{organisation}/create-project", ORG_ADMIN, "Make a project", api::projects::create),
    call(Get, "/api/app/organizations/{organisation}/service-accounts", MEMBER, "Its service accounts that the caller manages", api::accounts::list),
    call(Post, "/api/app/organizations/{organisation}/service-accounts", MEMBER, "Make a service account", api::accounts::create),
    call(Post, "/api/app/organizations/{organisation}/service-accounts/add-to-project", MEMBER, "Let service accounts use projects", api::accounts::add_to_project),
    call(Post, "/api/app/organizations/{organisation}/service-accounts/remove-from-project", MEMBER, "Let them use projects no longer", api::accounts::remove_from_project),
    call(Get, "/api/app/organizations/{organisation}/service-accounts/{id}", MEMBER, "A service account", api::accounts::show),
    call(Delete, "/api/app/organizations/{organisation}/service-accounts/{id}", MEMBER, "Delete a service account", api::accounts::delete),
    call(Get, "/api/app/openapi.json", NOBODY, "This description", api::openapi::serve),
];
