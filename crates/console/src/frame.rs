//! What stands around every page: title, navigation, what was done, what is wrong.

use forebay_control::{OrganisationRole, ProjectRole};

use crate::{said, visit::Visit};

/// Where in the console a page belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// For those who are not signed in, and errors.
    Outside,
    /// The list of projects, and what has no place of its own.
    Projects,
    /// In a project: the last part of the path, empty for its overview.
    Project(&'static str),
    /// The list of organisations.
    Organisations,
    /// In an organisation.
    Organisation(&'static str),
    /// One's own settings.
    Me(&'static str),
    /// Unclaimed tokens.
    Unclaimed,
    /// Messages to people.
    Messages,
}

/// A line of the navigation.
pub(crate) struct Link {
    pub(crate) href: String,
    pub(crate) label: &'static str,
    pub(crate) is_current: bool,
}

/// What stands around a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) person: Option<String>,
    pub(crate) csrf: String,
    /// The lines at the top.
    pub(crate) top: Vec<Link>,
    /// What the lines at the side belong to: a kind and a name.
    pub(crate) side_of: Option<(&'static str, String)>,
    pub(crate) side: Vec<Link>,
    /// What was done.
    pub(crate) said: Option<&'static str>,
    /// Why it was not done.
    pub(crate) problem: Option<String>,
    pub(crate) version: &'static str,
}

impl Frame {
    pub(crate) fn new(
        visit: &Visit<'_>,
        title: &str,
        place: Place,
        csrf: String,
        problem: Option<String>,
    ) -> Frame {
        let person = visit.signed.as_ref().map(|signed| signed.person.name.clone());
        let side_of = match place {
            Place::Project(_) => visit.project.as_ref().map(|(info, _)| ("Project", info.name.clone())),
            Place::Organisation(_) => {
                visit.organisation.as_ref().map(|organisation| ("Organisation", organisation.name.clone()))
            }
            Place::Me(_) => person.clone().map(|name| ("Your settings", name)),
            _ => None,
        };
        Frame {
            title: title.to_owned(),
            top: if person.is_some() { top(visit, place) } else { Vec::new() },
            person,
            csrf,
            side_of,
            side: side(visit, place),
            // Only after a redirect: a problem says more.
            said: said::text(visit.query.text("said")).filter(|_| problem.is_none()),
            problem,
            version: crate::assets::VERSION,
        }
    }
}

fn top(visit: &Visit<'_>, place: Place) -> Vec<Link> {
    let link = |href: &str, label, is_current| Link { href: href.to_owned(), label, is_current };
    let in_projects = matches!(place, Place::Projects | Place::Project(_));
    let in_organisations = matches!(place, Place::Organisations | Place::Organisation(_));
    let mut links = vec![
        link("/console/projects", "Projects", in_projects),
        link("/console/organisations", "Organisations", in_organisations),
    ];
    if visit.site.is_operator(visit) {
        links.push(link("/console/unclaimed", "Unclaimed", place == Place::Unclaimed));
        links.push(link("/console/messages", "Messages", place == Place::Messages));
    }
    links
}

fn side(visit: &Visit<'_>, place: Place) -> Vec<Link> {
    let (base, current, lines): (String, &str, Vec<(&str, &'static str)>) = match place {
        Place::Project(current) => {
            let Some((info, role)) = &visit.project else { return Vec::new() };
            (format!("/console/projects/{}", info.id), current, project_lines(*role))
        }
        Place::Organisation(current) => {
            let Some(organisation) = &visit.organisation else { return Vec::new() };
            let mut lines = vec![("", "Overview"), ("members", "Members")];
            if organisation.role >= OrganisationRole::Admin {
                lines.push(("audit", "Audit log"));
            }
            (format!("/console/organisations/{}", organisation.id), current, lines)
        }
        Place::Me(current) => {
            let lines = vec![
                ("", "Profile"),
                ("password", "Password"),
                ("second-factor", "Second factor"),
                ("sessions", "Sessions"),
                ("preferences", "Preferences"),
                ("data", "Data & privacy"),
                ("delete", "Delete account"),
            ];
            ("/console/me".to_owned(), current, lines)
        }
        _ => return Vec::new(),
    };
    let link = |(part, label): (&str, &'static str)| {
        let href = if part.is_empty() { base.clone() } else { format!("{base}/{part}") };
        Link { href, label, is_current: part == current }
    };
    lines.into_iter().map(link).collect()
}

/// What a role in a project gets to see of it.
fn project_lines(role: ProjectRole) -> Vec<(&'static str, &'static str)> {
    let mut lines = vec![("", "Overview"), ("rejected", "Rejected")];
    if role >= ProjectRole::Analyst {
        lines.push(("export", "Export"));
    }
    if role >= ProjectRole::Admin {
        lines.push(("keys", "Access keys"));
    }
    lines.push(("members", "Members"));
    if role >= ProjectRole::Admin {
        lines.extend([("accounts", "Service accounts"), ("settings", "Settings")]);
    }
    lines
}
