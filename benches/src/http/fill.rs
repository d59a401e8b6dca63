//! Filling a server's log before it is measured: does an event cost the same beside gigabytes of others?

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Error,
    generator::Traffic,
    load::{Form, Load},
    request::{Destination, requests},
    rounds::Setting,
    server::Server,
};

/// What it is filled with: many events a request are the quickest way.
const LOAD: Load = Load::Events(2000);

/// How long it is filled between two looks at how far it is.
const STEP: Duration = Duration::from_secs(1);

/// Sends events until the server's log has so many bytes; returns how many events were acknowledged. `traffic` is that of the
/// measurement to come, and `look` is called again and again: its error ends the filling.
///
/// # Errors
/// What [`Setting::round`] and `look` say, and a server that does not say how large its log is.
pub(crate) fn fill(
    server: &Server,
    bytes: u64,
    traffic: Traffic,
    binary: &Path,
    mut look: impl FnMut() -> Result<(), Error>,
) -> Result<u64, Error> {
    let requests = requests(LOAD, Form::Json, &Destination::projects(server.projects), traffic.seed);
    let traffic = Traffic {
        requests: Arc::from(requests),
        connections: LOAD.connections(),
        rate_per_s: None,
        duration: STEP,
        ..traffic
    };
    let setting = Setting { server, traffic, device: None, followers: 0, binary };
    let mut acknowledged = 0;
    loop {
        let committed = server.metrics().sum("forebay_log_device_bytes_total");
        let committed = committed.ok_or_else(|| Error::Server {
            name: server.name.clone(),
            what: "it does not say how many bytes its log has (forebay_log_device_bytes_total)".to_owned(),
        })?;
        if committed >= bytes as f64 {
            return Ok(acknowledged);
        }
        look()?;
        acknowledged += setting.round()?.1.events;
    }
}
