//! Admission by bytes in flight: the whole server, each lane, each project.
//!
//! A body is admitted to the server as its bytes arrive ([`Admission::admit`]) and, once its token is
//! known, to a lane and a project ([`Admission::admit_route`]). What does not fit is shed: 503 with
//! `Retry-After`.
//!
//! # Invariants
//! * The bytes of all permits of one scope never exceed its limit, except for a request that is alone.
//! * Dropping a permit gives back exactly what it holds.

use std::{fmt, sync::Arc};

use forebay_record::{LaneId, ProjectId};

use crate::{
    Project,
    gauge::Gauge,
    sync::{AtomicU64, Ordering, leaves_out},
};

/// How many bytes of requests may be in flight at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// In the whole server.
    pub server_bytes: u64,
    /// For one lane.
    pub lane_bytes: u64,
    /// For one project.
    pub project_bytes: u64,
}

/// What was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedScope {
    /// The whole server.
    Server,
    /// A lane.
    Lane(LaneId),
    /// A project.
    Project(ProjectId),
}

/// Why a request was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// What was full.
    pub scope: ShedScope,
    /// The bytes in flight there.
    pub in_flight: u64,
    /// The bytes the request wanted on top.
    pub wanted: u64,
    /// The limit there.
    pub limit: u64,
}

impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            ShedScope::Server => f.write_str("the server"),
            ShedScope::Lane(lane) => write!(f, "lane {lane}"),
            ShedScope::Project(id) => write!(f, "project {id}"),
        }?;
        let Shed { in_flight, wanted, limit, .. } = self;
        write!(
            f,
            " has {in_flight} bytes in flight, {wanted} more would pass its limit of {limit}; try again"
        )
    }
}

impl std::error::Error for Shed {}

/// How many requests each scope has shed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sheds {
    /// By the limit of the server.
    pub server: u64,
    /// By the limit of a lane.
    pub lane: u64,
    /// By the limit of a project.
    pub project: u64,
}

/// The gauges of the server and its lanes; those of projects are in [`Project`].
pub struct Admission {
    limits: AdmissionLimits,
    server: Gauge,
    lanes: Box<[Gauge]>,
    unclaimed: Gauge,
    sheds: [AtomicU64; 3],
}

impl Admission {
    /// Nothing in flight yet.
    #[must_use]
    pub fn new(limits: AdmissionLimits, lanes: u16) -> Arc<Admission> {
        Arc::new(Admission {
            limits,
            server: Gauge::new(),
            lanes: (0..lanes).map(|_| Gauge::new()).collect(),
            unclaimed: Gauge::new(),
            sheds: [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    /// Admits `bytes` to the server. Ask for what is known at first (a declared length, a first read)
    /// and [`Permit::grow`] as more arrives.
    ///
    /// # Errors
    /// [`Shed`] when the server's limit would be passed.
    pub fn admit(self: &Arc<Self>, bytes: u64) -> Result<Permit, Shed> {
        self.server
            .reserve(bytes, self.limits.server_bytes)
            .map_err(|now| self.shed(ShedScope::Server, now, bytes, self.limits.server_bytes))?;
        Ok(Permit { admission: Arc::clone(self), bytes })
    }

    /// Admits `bytes` to the lane and the budget of `project`, or for `None` to the unclaimed lane.
    ///
    /// # Errors
    /// [`Shed`] when the lane's or the project's limit would be passed.
    pub fn admit_route(
        self: &Arc<Self>,
        project: Option<&Arc<Project>>,
        bytes: u64,
    ) -> Result<RoutePermit, Shed> {
        let lane = project.map_or(LaneId::UNCLAIMED, |project| project.lane);
        self.lane(lane)
            .reserve(bytes, self.limits.lane_bytes)
            .map_err(|now| self.shed(ShedScope::Lane(lane), now, bytes, self.limits.lane_bytes))?;
        // From here on dropping the permit gives the lane's share back.
        let mut permit = RoutePermit { admission: Arc::clone(self), lane, project: None, bytes };
        if let Some(project) = project {
            let limit = self.limits.project_bytes;
            project
                .in_flight
                .reserve(bytes, limit)
                .map_err(|now| self.shed(ShedScope::Project(project.id), now, bytes, limit))?;
            permit.project = Some(Arc::clone(&project.in_flight));
        }
        Ok(permit)
    }

    /// The server's bytes in flight now.
    #[must_use]
    pub fn bytes_in_flight(&self) -> u64 {
        self.server.value()
    }

    /// A lane's bytes in flight now.
    #[must_use]
    pub fn lane_bytes_in_flight(&self, lane: LaneId) -> u64 {
        self.lane(lane).value()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> AdmissionLimits {
        self.limits
    }

    /// How many requests were shed since the start.
    #[must_use]
    pub fn sheds(&self) -> Sheds {
        let [server, lane, project] = [0, 1, 2].map(|at: usize| self.sheds[at].load(Ordering::Relaxed));
        Sheds { server, lane, project }
    }

    /// A lane number beyond the lanes there are shares the gauge of the unclaimed lane: bounded still.
    fn lane(&self, lane: LaneId) -> &Gauge {
        self.lanes.get(usize::from(lane.0)).unwrap_or(&self.unclaimed)
    }

    fn shed(&self, scope: ShedScope, in_flight: u64, wanted: u64, limit: u64) -> Shed {
        let at = match scope {
            ShedScope::Server => 0,
            ShedScope::Lane(_) => 1,
            ShedScope::Project(_) => 2,
        };
        self.sheds[at].fetch_add(1, Ordering::Relaxed);
        Shed { scope, in_flight, wanted, limit }
    }
}

/// A request's bytes in the server's budget, given back when dropped.
#[must_use]
pub struct Permit {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Permit {
    /// Reserves `bytes` more, as a body arrives or is inflated.
    ///
    /// # Errors
    /// [`Shed`] when the server's limit would be passed; the permit then holds what it held.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Shed> {
        let Admission { server, limits, .. } = &*self.admission;
        server
            .reserve_more(self.bytes, bytes, limits.server_bytes)
            .map_err(|now| self.admission.shed(ShedScope::Server, now, bytes, limits.server_bytes))?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all but `bytes`, when a request turned out smaller than announced.
    pub fn shrink_to(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.admission.server.release(self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    /// What it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.server.release(self.bytes);
    }
}

/// A request's bytes in the budgets of its lane and project, given back when dropped.
#[must_use]
pub struct RoutePermit {
    admission: Arc<Admission>,
    lane: LaneId,
    project: Option<Arc<Gauge>>,
    bytes: u64,
}

impl Drop for RoutePermit {
    fn drop(&mut self) {
        if !leaves_out("giving back the lane's share") {
            self.admission.lane(self.lane).release(self.bytes);
        }
        if let Some(project) = &self.project {
            project.release(self.bytes);
        }
    }
}
