//! Finds the structure of a JSON text by vector instructions, and checks it on the way.
//!
//! A parser that looks at token after token spends most of its time on guessing wrong what comes next. Here 64 bytes
//! become a few masks ([`simd`]), the grammar is checked on masks of the tokens ([`grammar`], [`skeleton`]), and only the
//! places that matter are written down ([`index`]): brackets, keys that may be of interest, and what may or may not be a
//! number or literal. Strings, plain numbers, colons, commas and nearly all keys are not.
//!
//! The CPU is asked once which [`Level`] it has; the grammar is written once and compiled for each.

mod grammar;
mod index;
mod masks;
mod simd;
mod skeleton;
#[cfg(target_arch = "x86_64")]
mod x86;

use grammar::{Grammar, Progress};
use index::Index;
use simd::{Portable, Simd};
use std::fmt;

/// A way of scanning that this CPU is able to go.
///
/// ```
/// use forebay_scan::Level;
/// assert_eq!(Level::all().next(), Some(Level::best()));
/// assert_eq!(Level::all().last().map(|level| level.to_string()), Some("portable".to_owned()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Level(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Sse2(x86::Sse2),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

impl Level {
    /// Those of this CPU, the fastest first.
    pub fn all() -> impl Iterator<Item = Level> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [
            x86::Avx512::detect().map(Kind::Avx512),
            x86::Avx2::detect().map(Kind::Avx2),
            Some(Kind::Sse2(x86::Sse2)),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let vectors: [Option<Kind>; 0] = [];
        vectors.into_iter().flatten().chain([Kind::Portable(Portable)]).map(Level)
    }

    /// The fastest of this CPU.
    #[must_use]
    pub fn best() -> Level {
        Level::all().next().unwrap_or(Level(Kind::Portable(Portable)))
    }

    /// Does the task, compiled for this CPU.
    #[inline(always)]
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(simd) => simd.run(task),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(simd) => simd.run(task),
            _ => task.run(),
        }
    }

    fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2(_) => "SSE2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "AVX-512",
        }
    }
}

impl PartialEq for Level {
    fn eq(&self, other: &Level) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Level {}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is compiled for each kind of CPU: all of it that is always inlined. (A closure would be compiled once.)
pub(super) trait Task {
    type Output;

    /// To be marked `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// What is left to read of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// Call [`Structure::next`] again.
    Yes,
    /// Nothing but blanks.
    No,
}

/// The text is not a valid object or array, save that what may be a number or literal was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotValid;

/// The index of one text after the other, a chunk at a time. Its memory is allocated once.
#[derive(Debug)]
pub(super) struct Structure {
    level: Level,
    grammar: Grammar,
    index: Index,
}

impl Structure {
    pub(super) fn new(level: Level, depth_max: usize) -> Structure {
        Structure { level, grammar: Grammar::new(depth_max), index: Index::new() }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Begins with the object or array at `start`. Unless all keys are asked for, most that are no name of an event's
    /// fields are left out.
    pub(super) fn begin(&mut self, start: usize, all_keys: bool) {
        self.grammar.begin(start, all_keys);
        self.index.clear();
    }

    /// Reads on in `text`, which is the same each time. Of what is found, everything was valid.
    pub(super) fn next(&mut self, text: &[u8]) -> Result<More, NotValid> {
        let (grammar, index) = (&mut self.grammar, &mut self.index);
        let progress = match self.level.0 {
            Kind::Portable(simd) => simd.chunk(grammar, text, index),
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2(simd) => simd.chunk(grammar, text, index),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(simd) => simd.chunk(grammar, text, index),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(simd) => simd.chunk(grammar, text, index),
        };
        match progress {
            Progress::Chunk => Ok(More::Yes),
            Progress::Done => Ok(More::No),
            Progress::Wrong => Err(NotValid),
        }
    }

    /// In the chunk read last: every bracket, the opening quotes of keys and of a few other strings, and a byte of each
    /// number or literal that is not known to be one.
    #[inline(always)]
    pub(super) fn tokens(&self) -> &[u32] {
        self.index.tokens()
    }

    /// Some key of the chunk read last is written with escapes. Then no key is left out, and no other string is there.
    #[inline]
    pub(super) fn has_escaped_keys(&self) -> bool {
        self.index.has_escaped_keys()
    }

    /// Where the string that is open at `from` ends, and whether there is a backslash in it. For one that began before the
    /// chunk read last, the latter is not known, and true. `None` if it ends behind the chunk.
    #[inline(always)]
    pub(super) fn string(&self, from: usize) -> Option<(usize, bool)> {
        self.index.string(from)
    }
}
