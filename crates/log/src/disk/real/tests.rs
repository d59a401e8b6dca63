//! What the machine's own file system may do that no healthy one does while a test looks on: take less than it is given.

use super::{Direct, PAGE, RealDisk, write_whole};
use crate::{disk::Disk as _, segment::SegmentInfo, watermark::Limit};
use forebay_record::{Lsn, SegmentId, Seq};
use rustix::io::{Errno, ReadWriteFlags};
use std::{collections::VecDeque, env, fs, io, process::Command};

/// What comes of a call that answers as it is told, and what it was asked: how many bytes, where to.
fn answering(answers: &[Result<usize, Errno>], bytes: &[u8]) -> (io::Result<bool>, Vec<(usize, u64)>) {
    let (mut answers, mut asked): (VecDeque<_>, _) = (answers.iter().copied().collect(), Vec::new());
    let result = write_whole(bytes, 4096, |rest, at| {
        asked.push((rest.len(), at));
        answers.pop_front().expect("asked once too often")
    });
    assert!(answers.is_empty(), "asked too seldom");
    (result, asked)
}

#[test]
fn a_write_that_is_taken_in_parts_goes_on_where_it_stopped_until_all_is_written() {
    let (result, asked) = answering(&[Ok(10), Err(Errno::INTR), Ok(70), Ok(20)], &[1; 100]);
    assert!(result.expect("written"));
    assert_eq!(asked, [(100, 4096), (90, 4106), (90, 4106), (20, 4176)]);
}

#[test]
fn a_write_that_stops_in_the_middle_is_an_error_and_never_a_success() {
    for error in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS] {
        let (result, asked) = answering(&[Ok(99), Err(error)], &[1; 100]);
        assert_eq!(result.map_err(|e| e.raw_os_error()), Err(Some(error.raw_os_error())));
        assert_eq!(asked, [(100, 4096), (1, 4195)]);
    }
    let (result, _) = answering(&[Ok(1), Ok(0)], &[1; 100]);
    assert_eq!(result.map_err(|e| e.kind()), Err(io::ErrorKind::WriteZero));
}

#[test]
fn a_system_that_does_not_know_the_call_is_found_out_before_anything_is_written() {
    for error in [Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS] {
        let (result, asked) = answering(&[Err(error)], &[1; 100]);
        assert!(!result.expect("to be written in another way"));
        assert_eq!(asked.len(), 1);
    }
}

/// Bytes that a file of the process below may have.
const LIMIT: usize = 64 << 10;
const BESIDE: &str = "FOREBAY_TEST_FILE_OF_LIMITED_SIZE";

/// Run as a process of its own, under a limit on the size of files, by the test below.
#[test]
#[ignore = "part of the next test"]
fn writes_past_its_limit() {
    let path = env::var_os(BESIDE).expect("run by the next test");
    let file = RealDisk.create(path.as_ref()).expect("a file");
    // The kernel takes what fits, says how much that was, and refuses the rest when it is asked for.
    let error = file.write_durable(&vec![7; LIMIT], 4096).expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(Errno::FBIG.raw_os_error()), "{error}");
    assert_eq!(file.len().expect("its length"), LIMIT as u64);
    file.write_durable(&vec![9; LIMIT - 4096], 4096).expect("it fits");
}

#[test]
fn a_short_write_of_the_kernels_own_is_carried_on_and_its_end_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    // The shell's limit is in blocks of 512 bytes; who exceeds it gets an error where the signal is ignored.
    let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", LIMIT / 512);
    let test = concat!(module_path!(), "::writes_past_its_limit").split_once("::").expect("in a crate").1;
    let output = Command::new("sh")
        .args(["-c", &limited])
        .arg(env::current_exe().expect("this test"))
        .args(["--exact", "--ignored", "--nocapture", test])
        .env(BESIDE, &path)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
    let bytes = fs::read(&path).expect("the file");
    assert_eq!((bytes.len(), bytes[..4096].iter().all(|b| *b == 0)), (LIMIT, true));
    assert!(bytes[4096..].iter().all(|b| *b == 9));
}

/// Bytes that start so far behind a page's start.
fn pages(memory: &mut Vec<u8>, shift: usize, len: usize) -> &mut [u8] {
    *memory = vec![0; len + 2 * PAGE];
    let at = memory.as_ptr().addr();
    &mut memory[at.next_multiple_of(PAGE) - at + shift..][..len]
}

#[test]
fn a_file_made_for_direct_writes_takes_every_write_and_its_readers_see_each() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    let file = RealDisk.create_direct(&path).expect("a file");
    let mut model = vec![0; 16 * PAGE];
    file.allocate(model.len() as u64).expect("space");
    let map = RealDisk.open_read(&path).expect("the file").read_map().expect("a map");
    let limit = Limit::of_closed(&SegmentInfo {
        id: SegmentId(1),
        base_lsn: Lsn(1),
        base_seq: Seq(0),
        created_at_ms: 0,
        last_ms: Some(0),
        bytes: model.len() as u64,
    });
    let limit = limit.expect("of a segment that is not written");
    let mut memory = Vec::new();
    // Whole pages; memory, length or place that is none; and pages that were written the other way before.
    let writes = [
        (0, 4 * PAGE, 0),
        (1, PAGE, 4 * PAGE),
        (0, PAGE + 1, 5 * PAGE),
        (0, PAGE, 8 * PAGE + 512),
        (0, 2 * PAGE, 4 * PAGE),
        (8, 100, PAGE + 7),
        (0, 8 * PAGE, 8 * PAGE),
    ];
    for (n, (shift, len, at)) in (1..).zip(writes) {
        let bytes = pages(&mut memory, shift, len);
        bytes.fill(n);
        match n % 2 {
            0 => file.write_at(bytes, at as u64).expect("written"),
            _ => file.write_durable(bytes, at as u64).expect("written"),
        }
        model[at..at + len].copy_from_slice(bytes);
        let mut read = vec![0; model.len()];
        file.read_exact_at(&mut read, 0).expect("read");
        assert!(read == model, "read after write {n}");
        assert!(
            map.window(limit, 0..model.len()).expect("mapped").bytes() == model,
            "mapped after write {n}"
        );
    }
}

#[test]
fn what_is_not_whole_pages_is_left_to_the_ordinary_way() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    fs::write(&path, [0; 4 * PAGE]).expect("a file");
    // A file system without such writes has nothing to show here.
    let Some(direct) = Direct::open(&path).expect("the file") else { return };
    let mut memory = Vec::new();
    for (shift, len, at, taken) in [
        (0, PAGE, 0, true),
        (512, PAGE, 0, false),
        (0, 512, 0, false),
        (0, PAGE, 512, false),
        (0, PAGE, 4096, true),
    ] {
        let bytes = pages(&mut memory, shift, len);
        assert_eq!(direct.write(bytes, at, ReadWriteFlags::DSYNC).expect("written or not"), taken);
    }
}
