//! A server's `/metrics`, as far as a benchmark looks at it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One reading.
#[derive(Clone, Debug, Default)]
pub struct Metrics(String);

impl Metrics {
    /// Asks the server at this address. No metrics where it has none.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn read(addr: SocketAddr) -> io::Result<Metrics> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Metrics(text))
    }

    /// The sum of a metric's samples; `None` where there is no such metric.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with([' ', '{']) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.reduce(|a, b| a + b)
    }

    /// The same, 0 where there is none: a counter that nobody raised yet.
    #[must_use]
    pub fn count(&self, name: &str) -> f64 {
        self.sum(name).unwrap_or(0.0)
    }

    /// Is this Forebay's?
    #[must_use]
    pub fn is_forebay(&self) -> bool {
        self.sum("forebay_build_info").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_are_added_up_and_longer_names_are_not_meant() {
        let metrics = Metrics(
            "HTTP/1.1 200 OK\n# HELP forebay_a x\nforebay_a_total{lane=\"0\"} 2\nforebay_a_total{lane=\"1\"} 3.5\n\
             forebay_a_total_more 9\nforebay_build_info{version=\"0\"} 1\n"
                .to_owned(),
        );
        assert_eq!(metrics.sum("forebay_a_total"), Some(5.5));
        assert_eq!(metrics.sum("forebay_b"), None);
        assert!(metrics.is_forebay() && metrics.count("forebay_b").abs() < f64::EPSILON);
    }
}
