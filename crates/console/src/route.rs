//! What a route is: a path, a method, what it needs, and who answers. The routes themselves are data, in
//! [`table`](crate::table): dispatch, the permission test and the description of the API all read that one list.

use forebay_control::{OrganisationRole, ProjectRole};

use schemars::JsonSchema;

use crate::{
    answer::Answer,
    api::schema::{self, Parameter, SchemaOf},
    refusal::Refusal,
    visit::Visit,
};

/// A method that some route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD.
    Get,
    /// POST
    Post,
    /// DELETE
    Delete,
}

impl Verb {
    /// The method's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
        }
    }

    pub(crate) fn of(method: &hyper::Method) -> Option<Verb> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Verb::Get),
            "POST" => Some(Verb::Post),
            "DELETE" => Some(Verb::Delete),
            _ => None,
        }
    }
}

/// What a route needs of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nobody,
    /// That they are known: a person, or a service account.
    Somebody,
    /// A person who is signed in.
    Person,
    /// At least this role in the organisation that the path names.
    Organisation(OrganisationRole),
    /// At least this role in the project that the path names.
    Project(ProjectRole),
    /// An owner of the first organisation, which is that of whoever set up the server.
    Operator,
}

/// How a route is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// By a browser: pages and forms; who one is, a cookie says.
    Page,
    /// By a program: JSON; who one is, a service account's Basic credentials say, or a cookie.
    Call,
}

pub(crate) type Handler = fn(&Visit<'_>) -> Result<Answer, Refusal>;

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// How it is asked.
    pub verb: Verb,
    /// Its path, without slash at the end; `{name}` stands for one part.
    pub path: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// How it is used.
    pub face: Face,
    /// What it is for.
    pub about: &'static str,
    /// The command that does the same, or shows it; `None`: it is what a browser does for itself.
    pub command: Option<&'static str>,
    /// The body that a call takes.
    pub(crate) takes: Option<SchemaOf>,
    /// What it tells.
    pub(crate) tells: Option<SchemaOf>,
    /// It makes something: the answer is 201.
    pub(crate) makes: bool,
    pub(crate) query: &'static [Parameter],
    pub(crate) handler: Handler,
}

impl Route {
    pub(crate) const fn new(
        verb: Verb,
        path: &'static str,
        needs: Needs,
        face: Face,
        about: &'static str,
        handler: Handler,
    ) -> Route {
        let (command, takes, tells, makes) = (None, None, None, false);
        Route { verb, path, needs, face, about, command, takes, tells, makes, query: &[], handler }
    }

    /// The command that does the same.
    pub(crate) const fn by(self, command: &'static str) -> Route {
        Route { command: Some(command), ..self }
    }

    /// With a document of this type as its body.
    pub(crate) const fn takes<T: JsonSchema>(self) -> Route {
        Route { takes: Some(schema::of::<T>), ..self }
    }

    /// With results of this type.
    pub(crate) const fn tells<T: JsonSchema>(self) -> Route {
        Route { tells: Some(schema::of::<T>), ..self }
    }

    /// With what it made as results, and the status of that.
    pub(crate) const fn makes<T: JsonSchema>(self) -> Route {
        Route { makes: true, ..self.tells::<T>() }
    }

    pub(crate) const fn asked_with(self, query: &'static [Parameter]) -> Route {
        Route { query, ..self }
    }

    /// It answers with the description of all, which says what it is by itself.
    pub(crate) fn describes_itself(&self) -> bool {
        self.path == "/api/app/openapi.json"
    }

    /// The parts that stand for something, if the path is this route's.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
        let mut parts = Vec::new();
        let mut given = path.split('/');
        for wanted in self.path.split('/') {
            let part = given.next()?;
            match name_of(wanted) {
                Some(_) if part.is_empty() => return None,
                Some(name) => parts.push((name, part)),
                None if wanted == part => {}
                None => return None,
            }
        }
        given.next().is_none().then_some(parts)
    }

    /// The names of the parts that stand for something.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(name_of)
    }
}

fn name_of(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// What a path and a method come to.
pub(crate) enum Found<'p> {
    /// A route, and what stands where it has names.
    Route(&'static Route, Vec<(&'static str, &'p str)>),
    /// The path takes other methods: these.
    OtherMethods(String),
    /// Nothing is there.
    Nothing,
}

/// Looks a path and a method up; of routes that match, those with the fewest names count, and of these the first.
pub(crate) fn find<'p>(routes: &'static [Route], verb: Option<Verb>, path: &'p str) -> Found<'p> {
    let mut methods: Vec<&str> = Vec::new();
    let mut matching: Vec<_> =
        routes.iter().filter_map(|route| Some((route, route.matches(path)?))).collect();
    let fewest = matching.iter().map(|(_, parts)| parts.len()).min();
    matching.retain(|(_, parts)| Some(parts.len()) == fewest);
    for (route, parts) in matching {
        if Some(route.verb) == verb {
            return Found::Route(route, parts);
        }
        if !methods.contains(&route.verb.as_str()) {
            methods.push(route.verb.as_str());
            if route.verb == Verb::Get {
                methods.push("HEAD");
            }
        }
    }
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethods(methods.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ROUTES;

    #[track_caller]
    fn check(method: Option<Verb>, path: &str, want: &str) {
        let got = match find(ROUTES, method, path) {
            Found::Route(route, parts) => format!("{} {parts:?}", route.path),
            Found::OtherMethods(methods) => methods,
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(got, want, "{path}");
    }

    #[test]
    fn a_path_finds_its_route_and_what_stands_in_it() {
        check(Some(Verb::Get), "/console/projects", "/console/projects []");
        check(Some(Verb::Get), "/console/projects/7", "/console/projects/{project} [(\"project\", \"7\")]");
        check(Some(Verb::Post), "/console/me/name", "/console/me/name []");
        check(Some(Verb::Delete), "/console/projects/7", "GET, HEAD");
        check(None, "/console/sign-in", "GET, HEAD, POST");
        check(Some(Verb::Get), "/console/projects/7/nothing", "nothing");
        check(Some(Verb::Get), "/console/projects//keys", "nothing");
        let base = "/api/app/organizations/1/service-accounts";
        check(Some(Verb::Get), &format!("{base}/add-to-project"), "POST");
        check(
            Some(Verb::Delete),
            &format!("{base}/7"),
            "/api/app/organizations/{organisation}/service-accounts/{id} [(\"organisation\", \"1\"), (\"id\", \"7\")]",
        );
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| other.path == route.path && other.verb == route.verb;
            assert!(ROUTES[..at].iter().find(same).is_none(), "{} {}", route.verb.as_str(), route.path);
            assert!(route.path == "/" || !route.path.ends_with('/'), "{}", route.path);
            assert!(route.path.starts_with('/'), "{}", route.path);
            assert!(!route.about.is_empty() && !route.about.ends_with('.'), "{}", route.path);
        }
    }

    #[test]
    fn a_role_is_asked_for_where_the_path_says_in_what() {
        for route in ROUTES {
            let names: Vec<_> = route.names().collect();
            match route.needs {
                Needs::Organisation(_) => assert!(names.contains(&"organisation"), "{}", route.path),
                Needs::Project(_) => assert!(names.contains(&"project"), "{}", route.path),
                _ => assert!(
                    !names.contains(&"organisation") && !names.contains(&"project"),
                    "{} names something and asks for no role in it",
                    route.path
                ),
            }
        }
    }
}
