//! Organisations, people, projects, credentials, accounting: the rules, in an embedded SQLite store.
//!
//! One file, `control.db`, in the data directory. The command line and the running server open it at
//! the same time; what one changes the other sees by [`Watch`].
//!
//! # Invariants
//! * A change, its row in `changes` and its row in `audit` are one transaction.
//! * No credential stands in the store in plain. A token does: it is public, and routes.
//! * A token, an API key or a secret belongs to one project at most; the schema sees to it, so that no
//!   face of the store can break it.
//! * Who may do something is asked in the transaction that does it ([`Acting`]).
//! * A full disk, a busy store or a wrong key file is an error that says so, and nothing is half done.

mod account;
mod accounting;
mod actor;
mod audit;
mod control;
mod csv;
mod error;
mod keyring;
mod lookup;
mod organisation;
mod outbox;
mod outreach;
mod person;
mod project;
mod refusals;
mod role;
mod room;
mod rules;
mod schema;
mod stats;
mod transfer;
mod watch;

pub use account::{Account, AccountProject, CreatedAccount, NewAccount, Scope};
pub use accounting::{ClosedBooks, Keep};
pub use actor::{Acting, PersonId};
pub use audit::{
    AuditEntry, AuditFilter, AuditPage,
    chain::{AuditDamage, AuditReport},
};
pub use control::{Control, Options};
pub use csv::{FAILED_RECORDS_MAX, FailedRecord, check_csv};
pub use error::{
    AccountError, LookupError, OpenError, PeopleError, ProjectError, StoreError, TransferError, chain,
};
pub use keyring::Keyring;
pub use lookup::{LOOKUP_BYTES_MAX, LookupFile, LookupTable, lookup_file_path};
pub use organisation::{Member, Organisation};
pub use outbox::{Channel, Channels, Content, Message, MessageInfo, MessageState, MessageStats, Sending};
pub use outreach::OutreachLimits;
pub use person::{
    CodeSent, DEVICE_BYTES_MAX, DEVICE_LIFE_MS, Enrolment, Erasure, GdprToken, GdprTokenInfo, HandOver,
    Invitation, Invited, Losses, Membership, NewInvitation, NewPerson, OrganisationLoss, Outcome,
    PasswordProof, Person, PersonChange, PersonalData, Preferences, PreferencesChange, ProjectLoss,
    ProjectMembership, Session, SetupCode, SignIn, SignInRecord, SignedIn, TwoFactor, TwoFactorKind, Usage,
    ViewSetting,
};
pub use project::{
    CallerInfo, CreatedProject, Credentials, DeletedProject, FormerInfo, Grace, NewProject, ProjectChange,
    ProjectInfo, ProjectMember, ProjectView, TokenInfo, TransferLosses,
};
pub use refusals::{StoredRefusal, StoredUnknownToken};
pub use role::{NoRole, OrganisationRole, ProjectRole};
pub use stats::{MinuteStats, OwnerStats, Stats, StatsFilter};
pub use transfer::{AccountDocument, IdMergeDocument, ImportReport, ProjectDocument, RegistryDocument};
pub use watch::{Changes, Poll, Snapshot, Watch};
