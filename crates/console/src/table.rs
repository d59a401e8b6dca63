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
const PERSON: Needs = Needs::Person;
const MEMBER: Needs = Needs::Organisation(OrganisationRole::Member);
const ORG_ADMIN: Needs = Needs::Organisation(OrganisationRole::Admin);
const CONSUMER: Needs = Needs::Project(ProjectRole::Consumer);

use Verb::{Get, Post};

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

    // One's own settings.
    page(Get, "/console/me", PERSON, "One's profile", page::me::profile),
    page(Post, "/console/me/name", PERSON, "Change one's name", page::me::rename),
    page(Post, "/console/me/email", PERSON, "Change one's address", page::me::change_email),
    page(Get, "/console/me/password", PERSON, "Ask for another password", page::me::password_page),
    page(Post, "/console/me/password", PERSON, "Change one's password", page::me::change_password),
    page(Get, "/console/me/second-factor", PERSON, "One's second factor", page::second_factor::page),
    page(Post, "/console/me/second-factor/begin", PERSON, "Begin to set one up", page::second_factor::begin),
    page(Post, "/console/me/second-factor/confirm", PERSON, "Switch it on", page::second_factor::confirm),
    page(Post, "/console/me/second-factor/codes", PERSON, "Get new recovery codes", page::second_factor::renew_codes),
    page(Post, "/console/me/second-factor/end", PERSON, "Switch it off", page::second_factor::end),
    page(Get, "/console/me/sessions", PERSON, "Where one is signed in", page::me::sessions),
    page(Post, "/console/me/sessions/end", PERSON, "End all other sessions", page::me::end_sessions),
    page(Get, "/console/me/delete", PERSON, "Ask whether one's account is to go", page::me::delete_page),
    page(Post, "/console/me/delete", PERSON, "Delete one's account", page::me::delete),

    // Calls.
    call(Get, "/api/app/me", PERSON, "Who one is, and what one may see", api::me::me),
    call(Get, "/api/app/openapi.json", NOBODY, "This description", api::openapi::serve),
];
