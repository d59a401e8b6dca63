//! Tokens and projects of a load: any number of projects, the token of each known without a list of them.

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::Error;
use crate::events::Numbers;

/// The length of every token.
pub const TOKEN_LEN: usize = 32;

/// The token of the project with this number, counted from 0: 32 hexadecimal digits, as Mixpanel's are.
#[must_use]
pub fn token(project: u64) -> [u8; TOKEN_LEN] {
    let mut numbers = Numbers::new(project.wrapping_mul(0xd134_2543_de82_ef95) ^ 0xf0_4eba_1e57);
    let mut out = [0; TOKEN_LEN];
    for half in out.chunks_exact_mut(16) {
        let mut number = numbers.next_u64();
        for digit in half {
            *digit = b"0123456789abcdef"[usize::from(number.to_le_bytes()[0] & 15)];
            number >>= 4;
        }
    }
    out
}

/// The same as text.
#[must_use]
pub fn token_text(project: u64) -> String {
    String::from_utf8_lossy(&token(project)).into_owned()
}

/// Makes so many projects in `data_dir` by `forebay project import`.
pub(crate) fn create_projects(binary: &Path, data_dir: &Path, count: u64) -> Result<(), Error> {
    let path = data_dir.with_extension("registry.json");
    let written = fs::File::create(&path).and_then(|file| {
        let mut out = BufWriter::new(file);
        out.write_all(br#"{"forebay_registry":1,"projects":["#)?;
        for project in 0..count {
            let comma = if project == 0 { "" } else { "," };
            let (id, token) = (project + 1, token_text(project));
            write!(out, r#"{comma}{{"id":{id},"name":"p{id}","tokens":["{token}"]}}"#)?;
        }
        out.write_all(b"]}")?;
        out.flush()
    });
    written.map_err(Error::io(format!("write {}", path.display())))?;
    let mut command = Command::new(binary);
    command.args(["project", "import", "--json", "--data-dir"]).arg(data_dir).arg(&path);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(Error::io(format!("run {}", binary.display())))?;
    fs::remove_file(&path).map_err(Error::io(format!("remove {}", path.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Server {
        name: "forebay project import".to_owned(),
        what: format!("{}: {said}", output.status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_has_a_token_of_its_own() {
        let all: std::collections::HashSet<_> = (0..100_000).map(token).collect();
        assert_eq!(all.len(), 100_000);
        assert!(token_text(3).bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(token(7), token(7));
    }
}
