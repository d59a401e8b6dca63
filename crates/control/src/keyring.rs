//! The server's key, and the two things done with it: recognising credentials and sealing secrets.
//!
//! `keys/server.key` holds 32 random bytes, readable by the owner alone. From it come two keys, so that
//! one key serves one purpose: one for the digests that credentials are looked up by, one for sealing.
//!
//! # Invariants
//! * The key is durable, file and directory, before anything is kept under it.
//! * A digest is HMAC-SHA-256 over SHA-256 of the credential. The inner hash is what a registry's export
//!   carries of credentials that are shown only once: the next node can recognise them, and nobody can
//!   read them.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use forebay_route::Mac;
use hmac::Mac as _;
use sha2::{Digest, Sha256};

use crate::{OpenError, StoreError};

pub(crate) type HmacSha256 = hmac::Hmac<Sha256>;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The server's key; cheap to clone and to share.
#[derive(Clone)]
pub struct Keyring(Arc<Keys>);

struct Keys {
    /// Keyed once: a lookup clones this state instead of hashing the key again.
    recognise: HmacSha256,
    seal: XChaCha20Poly1305,
    check: [u8; 32],
    /// Keyed once, too.
    audit: HmacSha256,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Keyring {
    /// Where the key of a data directory lies.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("keys").join("server.key")
    }

    /// The digest that a credential is recognised by.
    #[must_use]
    pub fn mac(&self, credential: &[u8]) -> Mac {
        self.mac_of_sha256(&sha256(credential))
    }

    /// Whether `kept` is the digest of `credential`: in a time that says nothing of where they differ.
    pub(crate) fn is_mac(&self, credential: &[u8], kept: &[u8]) -> bool {
        let mut hmac = self.0.recognise.clone();
        hmac.update(&sha256(credential));
        hmac.verify_slice(kept).is_ok()
    }

    /// [`Keyring::mac`] from the SHA-256 of the credential.
    pub(crate) fn mac_of_sha256(&self, sha256: &[u8; 32]) -> Mac {
        let mut hmac = self.0.recognise.clone();
        hmac.update(sha256);
        Mac(hmac.finalize().into_bytes().into())
    }

    /// Proves which key this is without telling it.
    pub(crate) fn check(&self) -> &[u8; 32] {
        &self.0.check
    }

    /// What the audit's digests are made with.
    pub(crate) fn audit(&self) -> HmacSha256 {
        self.0.audit.clone()
    }

    /// Seals `plain` for `purpose`: what is sealed for one cannot be opened as another.
    pub(crate) fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let payload = Payload { msg: plain, aad: purpose.as_bytes() };
        let sealed = self.0.seal.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("only fails for more than 256 GiB, and credentials are at most 256 bytes");
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed for `purpose`; `None` if it was not, or is damaged.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: purpose.as_bytes() };
        self.0.seal.decrypt(&XNonce::try_from(nonce).ok()?, payload).ok()
    }

    /// Reads the key of `dir`; `None` when there is none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Keyring>, OpenError> {
        let path = Keyring::path(dir);
        let failed = |source| StoreError::File { what: "read the key", path: path.clone(), source };
        let mut file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error).into()),
        };
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(OpenError::KeyOpen { path, mode });
        }
        if metadata.len() != KEY_BYTES as u64 {
            return Err(OpenError::KeyLength { path, found: metadata.len() });
        }
        let mut key = [0; KEY_BYTES];
        file.read_exact(&mut key).map_err(failed)?;
        Ok(Some(Keyring::of(&key)))
    }

    /// Reads the key of `dir`, making one first if there is none. Of two processes that do this at once
    /// one makes the key, and both read it.
    pub(crate) fn read_or_create(dir: &Path) -> Result<Keyring, OpenError> {
        if let Some(keyring) = Keyring::read(dir)? {
            return Ok(keyring);
        }
        create(dir)?;
        Keyring::read(dir)?.ok_or_else(|| OpenError::KeyMissing { path: Keyring::path(dir) })
    }

    fn of(key: &[u8; KEY_BYTES]) -> Keyring {
        let derive = |purpose: &[u8]| -> [u8; 32] {
            let mut hmac = hmac_keyed(key);
            hmac.update(purpose);
            hmac.finalize().into_bytes().into()
        };
        Keyring(Arc::new(Keys {
            recognise: hmac_keyed(&derive(b"forebay: recognise credentials")),
            seal: XChaCha20Poly1305::new(&derive(b"forebay: seal secrets").into()),
            check: derive(b"forebay: which key is this"),
            audit: hmac_keyed(&derive(b"forebay: chain the audit")),
        }))
    }
}

fn hmac_keyed(key: &[u8; KEY_BYTES]) -> HmacSha256 {
    <HmacSha256 as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// How often this process made a key, or tried to.
static CALLS: AtomicU64 = AtomicU64::new(0);

fn create(dir: &Path) -> Result<(), StoreError> {
    let path = Keyring::path(dir);
    let keys = dir.join("keys");
    let failed = |source| StoreError::File { what: "create the key", path: path.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&keys).map_err(failed)?;
    let mut key = [0; KEY_BYTES];
    random(&mut key)?;
    // Of this call alone: threads of one process may do this at once, too. Relaxed: only the numbers matter.
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let temporary = keys.join(format!("server.key.{}.{call}.tmp", std::process::id()));
    // Left over by a process of the same number that died here.
    let _ = fs::remove_file(&temporary);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
    let linked = file
        .write_all(&key)
        .and_then(|()| file.sync_all())
        // A link and not a rename: it never replaces a key that another process made meanwhile.
        .and_then(|()| match fs::hard_link(&temporary, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let removed = fs::remove_file(&temporary);
    linked.and(removed).map_err(failed)?;
    // Before the first credential is kept under it: after a crash the key must still be there.
    for directory in [keys.as_path(), dir] {
        fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// A new token, key or secret: 128 random bits as 32 hexadecimal digits.
pub(crate) fn new_credential() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(hex(&bytes))
}

/// Fills `bytes` from the system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError::File {
        what: "read random bytes from",
        path: PathBuf::from("getrandom"),
        source: io::Error::other(error.to_string()),
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The reverse of [`hex`], for 32 bytes.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}
