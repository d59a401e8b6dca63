//! Stores that a later version has written to: refused where they cannot be read, read where they can.

use crate::{chain, config, expected, listing, packed, packed::Image, v1};
use forebay_log::{Log, RepairChoice, repair, verify};
use forebay_record::crc32c;

const SEALED: &str = "log/0000/00000000000000000001.seg";
const ACTIVE: &str = "log/0000/00000000000000000003.seg";
const MARK: &str = "log/0000/watermark";
const INDEX: &str = "log/0000/00000000000000000001.idx";

/// Writes `bytes` into a segment's header and checksums it, as a later version would.
fn segment_header(image: &mut Image, file: &str, at: usize, bytes: &[u8]) {
    let file = image.get_mut(file).expect("it is there");
    file[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(crc32c(crc32c(0, &file[..20]), &[0; 4]), &file[24..4096]);
    file[20..24].copy_from_slice(&crc.to_le_bytes());
}

/// Writes `bytes` into the header of a segment's first or last frame.
fn frame_header(image: &mut Image, file: &str, last: bool, at: usize, bytes: &[u8]) {
    let file = image.get_mut(file).expect("it is there");
    let mut frames = (4096..file.len()).step_by(8).filter(|&at| file[at..].starts_with(b"FbFr"));
    let frame = if last { frames.next_back() } else { frames.next() }.expect("a frame");
    file[frame + at..frame + at + bytes.len()].copy_from_slice(bytes);
    let position = (frame as u64).to_le_bytes();
    let crc = crc32c(crc32c(crc32c(0, &file[72..80]), &position), &file[frame + 8..frame + 96]);
    file[frame + 4..frame + 8].copy_from_slice(&crc.to_le_bytes());
}

fn watermark_version(image: &mut Image, version: u16) {
    let store = image[SEALED][24..40].to_vec();
    let file = image.get_mut(MARK).expect("it is there");
    for at in [0, 4096] {
        file[at + 52..at + 54].copy_from_slice(&version.to_le_bytes());
        let crc = crc32c(crc32c(crc32c(0, &store), &[0, 0]), &file[at + 8..at + 64]);
        file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// What is done to a store, what must be said of it, and where a start notices.
struct Newer {
    what: &'static str,
    write: fn(&mut Image),
    /// The file, what was found there, what is known, what to do.
    said: &'static [&'static str],
    /// A start reads no frames but the last segment's.
    start_refuses: bool,
}

const REFUSED: &[Newer] = &[
    Newer {
        what: "a segment of major version 2",
        write: |image| segment_header(image, SEALED, 8, &[2, 0]),
        said: &[SEALED, "format 2.0", "reads 1.x", "use the forebay that wrote it"],
        start_refuses: true,
    },
    Newer {
        what: "the newest segment of major version 7",
        write: |image| segment_header(image, ACTIVE, 8, &[7, 0, 3, 0]),
        said: &[ACTIVE, "format 7.3", "reads 1.x", "use the forebay that wrote it"],
        start_refuses: true,
    },
    Newer {
        what: "a feature that a reader must know",
        write: |image| segment_header(image, SEALED, 12, &[0, 0, 1, 0]),
        said: &[SEALED, "features 0x00010000", "knows none", "use the newer one"],
        start_refuses: true,
    },
    Newer {
        what: "a watermark of version 2",
        write: |image| watermark_version(image, 2),
        said: &[MARK, "watermark version 2", "reads 1", "use the forebay that wrote it"],
        start_refuses: true,
    },
    Newer {
        what: "a store of version 2",
        write: |image| image.get_mut("store").expect("it is there")[8] = b'2',
        said: &["store", "\"forebay 2 ", "reads \"forebay 1 ", "use the newer forebay"],
        start_refuses: true,
    },
    Newer {
        what: "a frame of kind 9, the newest",
        write: |image| frame_header(image, ACTIVE, true, 20, &[9]),
        said: &[ACTIVE, "at byte", "frame kind 9 is unknown to this version", "newer forebay"],
        start_refuses: true,
    },
    Newer {
        what: "a flag, the newest frame's",
        write: |image| frame_header(image, ACTIVE, true, 23, &[0x80]),
        said: &[ACTIVE, "at byte", "frame flags", "unknown to this version", "newer forebay"],
        start_refuses: true,
    },
    Newer {
        what: "a frame of kind 200 in a sealed segment",
        write: |image| frame_header(image, SEALED, false, 20, &[200]),
        said: &[SEALED, "at byte 4096", "frame kind 200 is unknown to this version", "newer forebay"],
        start_refuses: false,
    },
    Newer {
        what: "an endpoint in a sealed segment",
        write: |image| frame_header(image, SEALED, false, 21, &[77]),
        said: &[SEALED, "at byte 4096", "frame endpoint 77 is unknown to this version", "newer forebay"],
        start_refuses: false,
    },
    Newer {
        what: "a packed payload",
        write: |image| frame_header(image, SEALED, false, 12, &[0, 0, 1, 0]),
        said: &[SEALED, "at byte 4096", "compression", "unknown to this version", "newer forebay"],
        start_refuses: false,
    },
];

#[test]
fn what_only_a_later_version_can_read_is_refused_by_name_and_left_alone() {
    for Newer { what, write, said, start_refuses } in REFUSED {
        let (dir, mut image) = v1();
        let dir = dir.path();
        write(&mut image);
        // Work for a start, in another lane: it must not have begun.
        image.get_mut("log/0001/00000000000000000003.seg").expect("it is there")[60_000] = 1;
        packed::write(&image, dir).expect("written");

        let mut refusals = vec![
            ("readers", listing(dir).expect_err(what)),
            ("verify", chain(&verify(dir, &mut |_| {}).expect_err(what))),
            ("a dry run", chain(&repair(dir, RepairChoice::DryRun).expect_err(what))),
            ("repair", chain(&repair(dir, RepairChoice::AcceptLoss).expect_err(what))),
        ];
        if *start_refuses {
            refusals.push(("start", chain(&Log::open(config(dir)).expect_err(what))));
        }
        for (who, text) in refusals {
            for words in *said {
                assert!(text.contains(words), "{what}: {who} does not say {words:?}: {text}");
            }
            assert!(!text.contains('\n'), "{what}: {who} says more than a line: {text}");
        }
        let now = packed::read(dir).expect("readable");
        // Frames are read lane by lane: those before may have been recovered.
        let frames = what.contains("newest frame") || what.contains("kind 9");
        let changed: Vec<_> = image.iter().filter(|(path, bytes)| now.get(*path) != Some(bytes)).collect();
        let paths: Vec<_> = changed.iter().map(|(path, _)| path.as_str()).collect();
        assert!(
            paths.iter().all(|path| frames && path.starts_with("log/0001/")),
            "{what}: changed {paths:?}"
        );
    }
}

#[test]
fn an_index_of_a_later_version_is_not_used_and_made_anew_by_a_repair() {
    let (dir, mut image) = v1();
    let dir = dir.path();
    image.get_mut(INDEX).expect("it is there")[8] = 2;
    packed::write(&image, dir).expect("written");
    assert_eq!(listing(dir).expect("readable"), expected());
    let report = verify(dir, &mut |_| {}).expect("a report");
    let problems: Vec<_> = report.lanes.iter().flat_map(|lane| &lane.index_problems).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].file.ends_with(INDEX), "{problems:?}");
    for words in ["version 2", "reads 1", "not used"] {
        assert!(problems[0].what.contains(words), "{problems:?}");
    }
    Log::open(config(dir)).expect("opened").0.close().expect("closed");
    assert_eq!(listing(dir).expect("readable"), expected());
    repair(dir, RepairChoice::AcceptLoss).expect("repaired");
    assert!(verify(dir, &mut |_| {}).expect("a report").is_clean());
}

#[test]
fn a_later_minor_version_and_features_that_a_reader_may_ignore_are_read() {
    let (dir, mut image) = v1();
    let dir = dir.path();
    for file in [SEALED, ACTIVE] {
        segment_header(&mut image, file, 10, &[9, 0]);
        segment_header(&mut image, file, 16, &[0xff; 4]);
        segment_header(&mut image, file, 2000, b"what a later version keeps here");
    }
    packed::write(&image, dir).expect("written");
    assert_eq!(listing(dir).expect("readable"), expected());
    assert!(verify(dir, &mut |_| {}).expect("a report").is_clean());
    Log::open(config(dir)).expect("opened").0.close().expect("closed");
    assert_eq!(listing(dir).expect("readable"), expected());
}
