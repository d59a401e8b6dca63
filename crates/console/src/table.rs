//! Every route there is. To add a page: write its handler, and a line here.

use forebay_control::{
    AuditPage, CallerInfo, CodeSent, Credentials, DeletedProject, Enrolment, Erasure, GdprToken,
    GdprTokenInfo, Invitation, Invited, Losses, MessageInfo, Organisation, OrganisationRole, Person,
    PersonalData, Preferences, ProjectInfo, ProjectMember, ProjectRole, ProjectView, Session, TransferLosses,
    TwoFactor,
};

use crate::{
    api, assets, page,
    route::{Face, Handler, Needs, Route, Verb},
};

const fn page(verb: Verb, path: &'static str, needs: Needs, about: &'static str, handler: Handler) -> Route {
    Route::new(verb, path, needs, Face::Page, about, handler)
}

const fn call(verb: Verb, path: &'static str, needs: Needs, about: &'static str, handler: Handler) -> Route {
    Route::new(verb, path, needs, Face::Call, about, handler)
}

const NOBODY: Needs = Needs::Nobody;
const SOMEBODY: Needs = Needs::Somebody;
const PERSON: Needs = Needs::Person;
const MEMBER: Needs = Needs::Organisation(OrganisationRole::Member);
const ORG_OWNER: Needs = Needs::Organisation(OrganisationRole::Owner);
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
    page(Post, "/console/projects/{project}/keys/tokens", ADMIN, "Add a token", page::keys::add_token).by("project add-token"),
    page(Get, "/console/projects/{project}/keys/tokens/remove", OWNER, "Ask whether a token is to go", page::keys::remove_page),
    page(Post, "/console/projects/{project}/keys/tokens/remove", OWNER, "Remove a token", page::keys::remove_token).by("project remove-token"),
    page(Get, "/console/projects/{project}/keys/tokens/retire", OWNER, "Ask until when a token is to send", page::retire::page),
    page(Post, "/console/projects/{project}/keys/tokens/retire", OWNER, "Let a token send until a time and no longer", page::retire::retire).by("project retire-token"),
    page(Post, "/console/projects/{project}/keys/reveal", OWNER, "Show key and secret again", page::keys::reveal).by("project reveal-secret"),
    page(Get, "/console/projects/{project}/keys/reset", OWNER, "Ask whether key and secret are to be reset", page::keys::reset_page),
    page(Post, "/console/projects/{project}/keys/reset", OWNER, "Reset key and secret", page::keys::reset).by("project reset-secret"),
    page(Post, "/console/projects/{project}/keys/end-former", OWNER, "End the former key and secret", page::keys::end_former).by("project end-grace"),
    page(Get, "/console/projects/{project}/members", CONSUMER, "Who has a role in it", page::people::page),
    page(Post, "/console/projects/{project}/members", ADMIN, "Give somebody a role in it", page::people::set_role).by("organisation set-project-role"),
    page(Post, "/console/projects/{project}/members/invite", ADMIN, "Invite somebody to it", page::people::invite).by("organisation invite"),
    page(Get, "/console/projects/{project}/accounts", ADMIN, "Its service accounts", page::accounts::page),
    page(Post, "/console/projects/{project}/accounts", ADMIN, "Make a service account", page::accounts::create).by("service-account create"),
    page(Post, "/console/projects/{project}/accounts/{account}/rotate", ADMIN, "Give it another secret", page::accounts::rotate).by("service-account rotate"),
    page(Post, "/console/projects/{project}/accounts/{account}/role", ADMIN, "Give it another role in the organisation", page::accounts::set_role).by("service-account set-role"),
    page(Post, "/console/projects/{project}/accounts/{account}/scopes", ADMIN, "Narrow it, or no longer", page::accounts::narrow).by("service-account narrow"),
    page(Post, "/console/projects/{project}/accounts/share", ADMIN, "Let one of the organisation's use it, too", page::account_uses::share).by("service-account add-to-project"),
    page(Post, "/console/projects/{project}/accounts/{account}/expiry", ADMIN, "Say when it stops working", page::account_uses::expire).by("service-account expire"),
    page(Get, "/console/projects/{project}/accounts/{account}/remove", ADMIN, "Ask whether it is to use the project no longer", page::account_uses::remove_page),
    page(Post, "/console/projects/{project}/accounts/{account}/remove", ADMIN, "Let it use the project no longer", page::account_uses::remove).by("service-account remove-from-project"),
    page(Get, "/console/projects/{project}/accounts/{account}/delete", ADMIN, "Ask whether it is to be deleted", page::accounts::delete_page),
    page(Post, "/console/projects/{project}/accounts/{account}/delete", ADMIN, "Delete it", page::accounts::delete).by("service-account delete"),
    page(Get, "/console/projects/{project}/settings", ADMIN, "Its settings", page::settings::page),
    page(Post, "/console/projects/{project}/settings", ADMIN, "Change its settings", page::settings::save).by("project set"),
    page(Get, "/console/projects/{project}/settings/retention", OWNER, "Ask whether its events are to be kept for so long only", page::settings::retention_page),
    page(Post, "/console/projects/{project}/settings/retention", OWNER, "Change how long its events are kept", page::settings::save_retention).by("project set"),
    page(Get, "/console/projects/{project}/settings/transfer", OWNER, "Show what a transfer would drop, and ask for it", page::transfer::page),
    page(Post, "/console/projects/{project}/settings/transfer", OWNER, "Hand it to another organisation", page::transfer::transfer).by("project transfer"),
    page(Get, "/console/projects/{project}/settings/delete", OWNER, "Ask whether it is to be deleted", page::settings::delete_page),
    page(Post, "/console/projects/{project}/settings/delete", OWNER, "Delete it", page::settings::delete).by("project delete"),
    page(Get, "/console/unclaimed", Needs::Operator, "Tokens that belong to no project", page::unclaimed::page),
    page(Post, "/console/unclaimed", Needs::Operator, "Give one to a project", page::unclaimed::claim).by("project add-token"),
    page(Get, "/console/messages", Needs::Operator, "Messages to people, and what became of them", page::messages::page),

    // Organisations.
    page(Get, "/console/organisations", PERSON, "The organisations one belongs to", page::organisations::list),
    page(Post, "/console/organisations", PERSON, "Make an organisation", page::organisations::create).by("organisation create"),
    page(Get, "/console/organisations/{organisation}", MEMBER, "An organisation", page::organisations::page),
    page(Post, "/console/organisations/{organisation}/name", ORG_ADMIN, "Rename it", page::organisations::rename).by("organisation rename"),
    page(Post, "/console/organisations/{organisation}/second-factor", ORG_ADMIN, "Require a second factor in it", page::organisations::require_second_factor).by("organisation require-two-factor"),
    page(Get, "/console/organisations/{organisation}/delete", ORG_OWNER, "Ask whether it is to be deleted", page::organisations::delete_page),
    page(Post, "/console/organisations/{organisation}/delete", ORG_OWNER, "Delete it", page::organisations::delete).by("organisation delete"),
    page(Get, "/console/organisations/{organisation}/members", MEMBER, "Its members", page::members::page),
    page(Post, "/console/organisations/{organisation}/members/{person}/role", ORG_ADMIN, "Give a member another role", page::members::set_role).by("organisation set-role"),
    page(Get, "/console/organisations/{organisation}/members/{person}/remove", MEMBER, "Ask whether a member is to go", page::members::remove_page),
    page(Post, "/console/organisations/{organisation}/members/{person}/remove", MEMBER, "Remove a member, or leave", page::members::remove).by("organisation remove"),
    page(Post, "/console/organisations/{organisation}/invitations", ORG_ADMIN, "Invite somebody", page::members::invite).by("organisation invite"),
    page(Post, "/console/organisations/{organisation}/invitations/{invitation}/revoke", ORG_ADMIN, "Take an invitation back", page::members::revoke).by("organisation revoke-invitation"),
    page(Get, "/console/organisations/{organisation}/projects/new", ORG_ADMIN, "Ask what a project is to be called", page::projects::new_page),
    page(Post, "/console/organisations/{organisation}/projects/new", ORG_ADMIN, "Make a project", page::projects::create).by("project create"),
    page(Post, "/console/organisations/{organisation}/projects/{deleted}/undelete", ORG_ADMIN, "Take a deleted project back", page::organisations::undelete).by("project undelete"),
    page(Get, "/console/organisations/{organisation}/audit", ORG_ADMIN, "Who did what", page::audit::of_organisation),
    page(Get, "/console/organisations/{organisation}/audit/file", ORG_ADMIN, "The same as a file", page::audit::of_organisation_file),

    // One's own settings.
    page(Get, "/console/me", PERSON, "One's profile", page::me::profile),
    page(Post, "/console/me/name", PERSON, "Change one's name", page::me::rename).by("person change"),
    page(Post, "/console/me/email", PERSON, "Change one's address", page::me::change_email).by("person change"),
    page(Get, "/console/me/password", PERSON, "Ask for another password", page::me::password_page),
    page(Post, "/console/me/password", PERSON, "Change one's password", page::me::change_password).by("person set-password"),
    page(Get, "/console/me/second-factor", PERSON, "One's second factor", page::second_factor::page),
    page(Post, "/console/me/second-factor/begin", PERSON, "Begin to set one up", page::second_factor::begin),
    page(Post, "/console/me/second-factor/phone", PERSON, "Begin to set up a phone", page::second_factor::begin_phone),
    page(Post, "/console/me/second-factor/phone/resend", PERSON, "Have another code sent", page::second_factor::resend),
    page(Post, "/console/me/second-factor/confirm", PERSON, "Switch it on", page::second_factor::confirm),
    page(Post, "/console/me/second-factor/codes", PERSON, "Get new recovery codes", page::second_factor::renew_codes),
    page(Post, "/console/me/second-factor/end", PERSON, "Switch it off", page::second_factor::end).by("person end-two-factor"),
    page(Get, "/console/me/sessions", PERSON, "Where one is signed in", page::me::sessions),
    page(Post, "/console/me/sessions/end", PERSON, "End all other sessions", page::me::end_sessions).by("person sign-out"),
    page(Get, "/console/me/preferences", PERSON, "What one set for oneself", page::data::preferences),
    page(Post, "/console/me/preferences", PERSON, "Change it", page::data::save_preferences).by("person preferences"),
    page(Post, "/console/me/preferences/notice-code", PERSON, "Have a code sent to the address for notices", page::data::send_notice_code),
    page(Post, "/console/me/preferences/notice-confirm", PERSON, "Confirm the address for notices", page::data::confirm_notice_email),
    page(Get, "/console/me/data", PERSON, "Data and privacy", page::data::page),
    page(Post, "/console/me/data/request", PERSON, "Ask for one's data", page::data::request).by("person data"),
    page(Get, "/console/me/data/file", PERSON, "One's data as a file", page::data::download),
    page(Get, "/console/me/data/erase", PERSON, "Ask whether it is to be erased", page::data::erase_page),
    page(Post, "/console/me/data/erase", PERSON, "Erase it", page::data::erase).by("person erase-data"),
    page(Get, "/console/me/data/gdpr", PERSON, "Ask whether the GDPR token is to be reset", page::data::gdpr_page),
    page(Post, "/console/me/data/gdpr", PERSON, "Reset it", page::data::reset_gdpr).by("gdpr-token reset"),
    page(Post, "/console/me/data/gdpr/end", PERSON, "End it", page::data::end_gdpr).by("gdpr-token end"),
    page(Get, "/console/me/delete", PERSON, "Ask whether one's account is to go", page::me::delete_page),
    page(Post, "/console/me/delete", PERSON, "Delete one's account", page::me::delete).by("person delete"),

    // Calls: coming in.
    call(Post, "/api/app/setup", NOBODY, "Set up the server, as its first person", api::entry::set_up).takes::<api::entry::SetUp>().tells::<api::entry::Session>(),
    call(Post, "/api/app/sign-in", NOBODY, "Sign in", api::entry::sign_in).takes::<api::entry::Credentials>().tells::<api::entry::Session>(),
    call(Post, "/api/app/sign-out", PERSON, "Sign out", api::entry::sign_out),
    call(Post, "/api/app/invitation", NOBODY, "What an invitation is for", api::entry::invitation).takes::<api::entry::Code>().tells::<Invitation>(),
    call(Post, "/api/app/invitation/accept", NOBODY, "Take an invitation", api::entry::accept).takes::<api::entry::Accept>().tells::<api::entry::Session>(),

    // Calls: projects.
    call(Get, "/api/app/projects", SOMEBODY, "The projects one may see", api::projects::list).by("project list").tells::<Vec<ProjectView>>(),
    call(Get, "/settings/project/{project}/metadata", ADMIN, "A project's name, token and time zone; key and secret for a service account that is an owner", api::projects::metadata).by("project show").tells::<api::projects::Metadata>(),
    call(Get, "/api/app/projects/{project}/metadata", ADMIN, "The same by another path", api::projects::metadata).by("project show").tells::<api::projects::Metadata>(),
    call(Get, "/api/app/projects/{project}", CONSUMER, "A project", api::projects::show).by("project show").tells::<ProjectView>(),
    call(Post, "/api/app/projects/{project}", ADMIN, "Change a project's settings", api::projects::change).by("project set").takes::<api::projects::Change>().tells::<ProjectInfo>(),
    call(Get, "/api/app/projects/{project}/stats", CONSUMER, "What became of its events in the last day", api::traffic::stats).by("stats").tells::<api::traffic::Counts>(),
    call(Get, "/api/app/projects/{project}/event-counts", ANALYST, "How many events of each name an export of some days would bring", api::traffic::event_counts).by("export").asked_with(api::traffic::DAYS).tells::<api::traffic::EventCounts>(),
    call(Get, "/api/app/projects/{project}/events", ANALYST, "Its last events with their verdicts, newest first", api::traffic::last).by("log cat").tells::<Vec<api::traffic::Event>>(),
    call(Get, "/api/app/projects/{project}/rejected", ANALYST, "What was rejected of late, newest first", api::traffic::rejected).by("rejects").tells::<Vec<api::traffic::Event>>(),
    call(Post, "/api/app/projects/{project}/tokens", ADMIN, "Let another token send to it", api::keys::add_token).by("project add-token").takes::<api::keys::AddToken>().tells::<ProjectInfo>(),
    call(Post, "/api/app/projects/{project}/tokens/retire", OWNER, "Let a token send until a time and no longer", api::keys::retire_token).by("project retire-token").takes::<api::keys::RetireToken>().tells::<ProjectInfo>(),
    call(Post, "/api/app/projects/{project}/tokens/remove", OWNER, "Stop a token, and forget it", api::keys::remove_token).by("project remove-token").takes::<api::keys::RemoveToken>().tells::<ProjectInfo>(),
    call(Post, "/api/app/projects/{project}/credentials/reveal", OWNER, "Tell key and secret again", api::keys::reveal).by("project reveal-secret").takes::<api::Password>().tells::<Credentials>(),
    call(Get, "/api/app/projects/{project}/credentials/callers", ADMIN, "What used its key and secret of late", api::keys::callers).by("project show").tells::<Vec<CallerInfo>>(),
    call(Post, "/api/app/projects/{project}/credentials/reset", OWNER, "Reset key and secret, and tell them", api::keys::reset).by("project reset-secret").takes::<api::keys::Reset>().tells::<Credentials>(),
    call(Post, "/api/app/projects/{project}/credentials/end-former", OWNER, "End the former key and secret", api::keys::end_former).by("project end-grace").tells::<ProjectInfo>(),
    call(Get, "/api/app/projects/{project}/members", CONSUMER, "Who has a role in it", api::members::of_project).by("project members").tells::<Vec<ProjectMember>>(),
    call(Post, "/api/app/projects/{project}/members", ADMIN, "Give a person a role in it, or take it away", api::members::set_in_project).by("organisation set-project-role").takes::<api::members::InProject>(),
    call(Post, "/api/app/projects/{project}/invitations", ADMIN, "Invite somebody to it", api::members::invite_to_project).by("organisation invite").takes::<api::members::InviteToProject>().makes::<Invited>(),
    call(Get, "/api/app/projects/{project}/service-accounts", ADMIN, "Its service accounts", api::accounts::of_project).by("service-account list").tells::<Vec<api::accounts::InProject>>(),
    call(Get, "/api/app/projects/{project}/transfer", OWNER, "What handing it to another organisation would leave behind", api::projects::transfer_losses).by("project transfer").tells::<TransferLosses>(),
    call(Post, "/api/app/projects/{project}/transfer", OWNER, "Hand it to another organisation", api::projects::transfer).by("project transfer").takes::<api::projects::Transfer>(),
    call(Post, "/api/app/projects/{project}/delete", OWNER, "Delete it; for thirty days it can be had back", api::projects::delete).by("project delete").takes::<api::Password>().tells::<DeletedProject>(),
    call(Get, "/api/app/unclaimed-tokens", Needs::Operator, "Tokens that belong to no project, those seen most first", api::traffic::unclaimed).by("project unclaimed").tells::<Vec<api::traffic::Unclaimed>>(),

    call(Get, "/api/app/messages", Needs::Operator, "Messages to people, and what became of them", api::traffic::messages).by("mail list").tells::<Vec<MessageInfo>>(),

    // Calls: organisations.
    call(Get, "/api/app/organizations", SOMEBODY, "The organisations one belongs to", api::organisations::list).by("organisation list").tells::<Vec<Organisation>>(),
    call(Post, "/api/app/organizations", PERSON, "Make an organisation", api::organisations::create).by("organisation create").takes::<api::organisations::Create>().makes::<Organisation>(),
    call(Get, "/api/app/organizations/{organisation}", MEMBER, "An organisation and who belongs to it", api::organisations::show).by("organisation show").tells::<Organisation>(),
    call(Post, "/api/app/organizations/{organisation}", ORG_ADMIN, "Change its name and rules", api::organisations::change).by("organisation rename").takes::<api::organisations::Change>().tells::<Organisation>(),
    call(Post, "/api/app/organizations/{organisation}/delete", ORG_OWNER, "Delete it; nothing may be left in it", api::organisations::delete).by("organisation delete").takes::<api::Password>(),
    call(Get, "/api/app/organizations/{organisation}/audit", ORG_ADMIN, "Who did what in it, newest first", api::organisations::audit).by("audit list").asked_with(api::organisations::AUDIT).tells::<AuditPage>(),
    call(Post, "/api/app/organizations/{organisation}/members/{person}", ORG_ADMIN, "Give a member another role", api::members::set_role).by("organisation set-role").takes::<api::members::InOrganisation>().tells::<Organisation>(),
    call(Delete, "/api/app/organizations/{organisation}/members/{person}", MEMBER, "Remove a member, or leave", api::members::remove).by("organisation remove"),
    call(Get, "/api/app/organizations/{organisation}/invitations", ORG_ADMIN, "The open invitations", api::members::invitations).by("organisation invitations").tells::<Vec<Invitation>>(),
    call(Post, "/api/app/organizations/{organisation}/invitations", ORG_ADMIN, "Invite somebody", api::members::invite).by("organisation invite").takes::<api::members::Invite>().makes::<Invited>(),
    call(Delete, "/api/app/organizations/{organisation}/invitations/{invitation}", ORG_ADMIN, "Take an invitation back", api::members::revoke).by("organisation revoke-invitation"),
    call(Get, "/api/app/organizations/{organisation}/projects", MEMBER, "Its projects that one may see", api::projects::of_organisation).by("project list").tells::<Vec<ProjectView>>(),
    call(Post, "/api/app/organizations/{organisation}/create-project", ORG_ADMIN, "Make a project", api::projects::create).by("project create").takes::<api::projects::Create>().tells::<api::projects::Created>(),
    call(Get, "/api/app/organizations/{organisation}/deleted-projects", ORG_ADMIN, "Its deleted projects that can be had back", api::projects::deleted).by("project deleted").tells::<Vec<DeletedProject>>(),
    call(Post, "/api/app/organizations/{organisation}/deleted-projects/{deleted}/undelete", ORG_ADMIN, "Take a deleted project back", api::projects::undelete).by("project undelete").tells::<ProjectInfo>(),
    call(Get, "/api/app/organizations/{organisation}/service-accounts", MEMBER, "Its service accounts that one may know of", api::accounts::list).by("service-account list").tells::<Vec<api::accounts::Shown>>(),
    call(Post, "/api/app/organizations/{organisation}/service-accounts", MEMBER, "Make a service account", api::accounts::create).by("service-account create").takes::<api::accounts::Create>().makes::<api::accounts::Made>(),
    call(Post, "/api/app/organizations/{organisation}/service-accounts/add-to-project", MEMBER, "Let service accounts use projects", api::accounts::add_to_project).by("service-account add-to-project").takes::<api::accounts::Add>(),
    call(Post, "/api/app/organizations/{organisation}/service-accounts/remove-from-project", MEMBER, "Let them use projects no longer", api::accounts::remove_from_project).by("service-account remove-from-project").takes::<api::accounts::Remove>(),
    call(Get, "/api/app/organizations/{organisation}/service-accounts/{id}", MEMBER, "A service account", api::accounts::show).by("service-account list").tells::<api::accounts::Shown>(),
    call(Post, "/api/app/organizations/{organisation}/service-accounts/{id}", MEMBER, "Change when it ends, its role, what it is narrowed to", api::accounts::change).by("service-account narrow").takes::<api::accounts::Change>().tells::<api::accounts::Shown>(),
    call(Delete, "/api/app/organizations/{organisation}/service-accounts/{id}", MEMBER, "Delete a service account", api::accounts::delete).by("service-account delete"),
    call(Post, "/api/app/organizations/{organisation}/service-accounts/{id}/rotate", MEMBER, "Give it another secret, and tell it", api::accounts::rotate).by("service-account rotate").takes::<api::accounts::Rotate>().tells::<api::accounts::Made>(),

    // Calls: oneself.
    call(Get, "/api/app/me", SOMEBODY, "Who one is, and what one may see", api::me::me).by("person show").tells::<api::me::Me>(),
    call(Post, "/api/app/me", PERSON, "Change one's name or address", api::own::change).by("person change").takes::<api::own::Change>().tells::<Person>(),
    call(Post, "/api/app/me/password", PERSON, "Change one's password; other sessions end", api::own::set_password).by("person set-password").takes::<api::own::NewPassword>(),
    call(Get, "/api/app/me/second-factor", PERSON, "One's second factor", api::own::two_factor).tells::<TwoFactor>(),
    call(Post, "/api/app/me/second-factor/begin", PERSON, "Begin to set one up", api::own::begin_two_factor).takes::<api::Password>().tells::<Enrolment>(),
    call(Post, "/api/app/me/second-factor/phone", PERSON, "Begin to set up a phone", api::own::begin_phone).takes::<api::own::Phone>().tells::<CodeSent>(),
    call(Post, "/api/app/me/second-factor/phone/resend", PERSON, "Have another code sent", api::own::resend_phone_code).tells::<CodeSent>(),
    call(Post, "/api/app/me/second-factor/confirm", PERSON, "Switch it on", api::own::confirm_two_factor).takes::<api::own::Code>().tells::<api::own::Codes>(),
    call(Post, "/api/app/me/second-factor/codes", PERSON, "Get new recovery codes", api::own::renew_codes).takes::<api::Password>().tells::<api::own::Codes>(),
    call(Post, "/api/app/me/second-factor/end", PERSON, "Switch it off", api::own::end_two_factor).by("person end-two-factor").takes::<api::Password>(),
    call(Get, "/api/app/me/sessions", PERSON, "Where one is signed in", api::own::sessions).by("person sessions").tells::<Vec<Session>>(),
    call(Post, "/api/app/me/sessions/end", PERSON, "End all other sessions", api::own::end_sessions).by("person sign-out").tells::<api::own::Ended>(),
    call(Get, "/api/app/me/preferences", PERSON, "What one set for oneself", api::own::preferences).by("person preferences").tells::<Preferences>(),
    call(Post, "/api/app/me/preferences", PERSON, "Change it", api::own::set_preferences).by("person preferences").takes::<api::own::Preferences>().tells::<Preferences>(),
    call(Post, "/api/app/me/preferences/notice-code", PERSON, "Have a code sent to the address for notices", api::own::send_notice_code),
    call(Post, "/api/app/me/preferences/notice-confirm", PERSON, "Confirm the address for notices", api::own::confirm_notice_email).takes::<api::own::Code>(),
    call(Get, "/api/app/me/data", PERSON, "All that is held about oneself", api::own::data).by("person data").tells::<PersonalData>(),
    call(Get, "/api/app/me/data/erasable", PERSON, "What an erasure would take", api::own::erasable).by("person erase-data").tells::<Erasure>(),
    call(Post, "/api/app/me/data/erase", PERSON, "Erase it; the account goes on", api::own::erase).by("person erase-data").takes::<api::Password>().tells::<Erasure>(),
    call(Get, "/api/app/me/gdpr-token", PERSON, "One's GDPR token, never itself", api::own::gdpr_token).by("gdpr-token show").tells::<Option<GdprTokenInfo>>(),
    call(Post, "/api/app/me/gdpr-token", PERSON, "Get another one, which is told; the one before ends", api::own::reset_gdpr_token).by("gdpr-token reset").takes::<api::own::ResetGdpr>().tells::<GdprToken>(),
    call(Delete, "/api/app/me/gdpr-token", PERSON, "End it", api::own::end_gdpr_token).by("gdpr-token end"),
    call(Get, "/api/app/me/losses", PERSON, "What deleting one's account would take, and what stays", api::own::losses).by("person delete").tells::<Losses>(),
    call(Post, "/api/app/me/delete", PERSON, "Delete one's account", api::own::delete).by("person delete").takes::<api::own::Delete>(),
    call(Get, "/api/app/openapi.json", NOBODY, "This description", api::openapi::serve),
];
