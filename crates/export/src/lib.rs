//! The reading side: raw export over HTTP and to files.
