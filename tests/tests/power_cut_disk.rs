//! The recording disk that the power cuts stand on records what it must: writes before the flush that covers them,
//! nothing that was not written, and faults as the kernel makes of them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use forebay_tests::power_cut::image::Player;
use forebay_tests::power_cut::{
    Cut, Fault, FileSystem, Image, Kind, Lost, Machine, Mounted, Recorder, Recording, Target, Times,
};

const BOTH: [FileSystem; 2] = [FileSystem::Ext4, FileSystem::Xfs];

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_power_cut"))
}

/// Blocks that can be told from all others.
fn marked(mark: u8) -> Vec<u8> {
    [b"marked ", [mark].as_slice(), b" "].concat().repeat(2000)
}

/// The first operation that wrote it.
fn written(recording: &Recording, mark: u8) -> Option<usize> {
    let mark = &marked(mark)[..512];
    recording.ops().iter().position(|op| recording.bytes(op).windows(mark.len()).any(|bytes| bytes == mark))
}

/// What a file holds once the power was cut after `at` operations.
fn after(
    machine: &Machine,
    fs: FileSystem,
    base: &Image,
    recording: &Recording,
    at: usize,
    name: &str,
) -> Vec<u8> {
    let image = Player::new(base.clone(), recording).cut(Cut { at, lost: Lost::Unflushed });
    let mounted = Mounted::image(machine, &image, fs).expect("it mounts");
    fs::read(mounted.path().join(name)).unwrap_or_default()
}

#[test]
fn a_sync_arrives_as_a_flush_behind_its_writes_and_what_was_not_synced_does_not_arrive() {
    for fs in BOTH {
        let machine = Machine::new();
        let base = fs.make(&machine, 300);
        let recorder = Recorder::start(&machine, program(), &base, fs);
        let ops = || {
            forebay_tests::power_cut::ledger::Sequence::open(recorder.sequence()).expect("it counts").now()
        };
        let mut synced = File::create(recorder.dir().join("synced")).expect("a file");
        let mut lazy = File::create(recorder.dir().join("lazy")).expect("a file");
        lazy.write_all(&marked(1)).expect("written");
        synced.write_all(&marked(2)).expect("written");
        synced.sync_data().expect("synced");
        let then = usize::try_from(ops()).expect("few");
        // Nobody waits for this one.
        lazy.write_all(&marked(3)).expect("written");
        let still = usize::try_from(ops()).expect("few");
        let recording = recorder.so_far();
        drop(recorder);
        let at = written(&recording, 2).expect("what was synced was written");
        let flush = recording.flushes().find(|&flush| flush > at).expect("a flush behind it");
        assert!(flush < then, "{}: write {at}, flush {flush}, all before {then}", fs.name());
        assert_eq!(
            (then, written(&recording, 3)),
            (still, None),
            "{}: what nobody waits for stays",
            fs.name()
        );
        assert_eq!(
            written(&recording, 1).filter(|&at| at < then),
            None,
            "{}: or waits for another",
            fs.name()
        );
        assert!(after(&machine, fs, &base, &recording, then, "synced") == marked(2), "{}", fs.name());
        assert!(after(&machine, fs, &base, &recording, flush, "synced") != marked(2), "{}", fs.name());
    }
}

/// What the log's rule "a failed flush is final" is for.
#[test]
fn a_write_that_failed_is_reported_once_and_then_forgotten() {
    for fs in BOTH {
        let machine = Machine::new();
        let base = fs.make(&machine, 300);
        let mut recorder = Recorder::start(&machine, program(), &base, fs);
        let file = File::create(recorder.dir().join("file")).expect("a file");
        file.write_all_at(&marked(1), 0).expect("written");
        file.sync_all().expect("synced");
        file.write_all_at(&marked(2), 0).expect("written");
        recorder.fail(Fault { target: Target::Write, nth: 1, times: Times::Once });
        assert_eq!(file.sync_data().map_err(|e| e.raw_os_error()), Err(Some(5)), "{}: EIO", fs.name());
        file.sync_data().expect("the kernel says that all is fine");
        assert!(
            fs::read(recorder.dir().join("file")).expect("it reads") == marked(2),
            "{}: in memory",
            fs.name()
        );
        drop(file);
        let recording = recorder.stop();
        assert_eq!(recording.numbers(Kind::FailedWrite).count(), 1);
        let end = recording.ops().len();
        assert!(after(&machine, fs, &base, &recording, end, "file") == marked(1), "{}: on disk", fs.name());
    }
}

#[test]
fn a_flush_that_failed_is_reported() {
    for fs in BOTH {
        let machine = Machine::new();
        let base = fs.make(&machine, 300);
        let mut recorder = Recorder::start(&machine, program(), &base, fs);
        let file = File::create(recorder.dir().join("file")).expect("a file");
        file.write_all_at(&marked(1), 0).expect("written");
        file.sync_all().expect("synced");
        file.write_all_at(&marked(2), 0).expect("written");
        recorder.fail(Fault { target: Target::Flush, nth: 1, times: Times::Once });
        assert!(file.sync_data().is_err(), "{}", fs.name());
        drop(file);
        assert_eq!(recorder.stop().numbers(Kind::FailedFlush).count(), 1);
    }
}
