//! What `forebay log verify` and `forebay log repair` say of a damaged store, and with which exit status: what
//! people read and scripts go by. What a newer version's store gets is in `upgrade.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use common::{
    forebay,
    packed::{self, Image},
    v1,
};
use std::path::Path;

const VERIFY: &[&str] = &["log", "verify"];
const REPAIR: &[&str] = &["log", "repair"];
const ACCEPT: &[&str] = &["log", "repair", "--accept-loss"];

/// What the checked-in store has from a repair of long ago.
const OLD_LOSS: &str = "lost and accepted in lane 0: sequence 5..7";
const ALL_BUT_ACCEPTED: &str = "\nevery acknowledged record is there but those accepted as lost";

fn segment(id: u64) -> String {
    format!("log/0000/{id:020}.seg")
}

/// Runs it; its status must be `status`, and its words on stdout these.
#[track_caller]
fn expect(dir: &Path, args: &[&str], status: i32, words: &[&str]) {
    let done = forebay(dir, args);
    let said = String::from_utf8(done.stdout).unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(status), "{args:?}: {said}{errors}");
    assert_eq!(errors, "", "{args:?}: {said}");
    for words in words {
        let words = words.replace("DIR", &dir.display().to_string());
        assert!(said.contains(&words), "{args:?} does not say {words:?}: {said}");
    }
}

/// Verifies, repairs dry, repairs, verifies; a dry run changes nothing.
#[track_caller]
fn check(
    change: impl FnOnce(&mut Image),
    found: (i32, &[&str]),
    dry: (i32, &[&str]),
    done: (i32, &[&str]),
    then: (i32, &[&str]),
) {
    let dir = v1(change);
    let before = packed::read(dir.path()).unwrap();
    expect(dir.path(), VERIFY, found.0, found.1);
    expect(dir.path(), REPAIR, dry.0, dry.1);
    assert_eq!(packed::read(dir.path()).unwrap(), before, "nothing was changed");
    expect(dir.path(), ACCEPT, done.0, done.1);
    expect(dir.path(), VERIFY, then.0, then.1);
}

fn flip(image: &mut Image, name: &str, needle: &[u8]) {
    let file = image.get_mut(name).unwrap();
    let at = file.windows(needle.len()).position(|window| window == needle).unwrap();
    file[at] ^= 1;
}

#[test]
fn a_whole_store_is_clean_and_there_is_nothing_to_repair() {
    let clean: (i32, &[&str]) = (0, &[OLD_LOSS, ALL_BUT_ACCEPTED]);
    let nothing: (i32, &[&str]) = (0, &["nothing to repair\n"]);
    check(|_| {}, clean, nothing, nothing, clean);
}

#[test]
fn a_damaged_frame_is_named_to_the_byte_and_given_up_with_a_copy() {
    let found = "damage in lane 0: DIR/log/0000/00000000000000000001.seg bytes 4096..8192: frame payload checksum \
                 mismatch: ";
    let step = "DIR/log/0000/00000000000000000001.seg: frame payload checksum mismatch: ";
    let gives_up = "; bytes 4096..8192 become a loss frame: 2 events given up (sequence 0..2); the bytes are kept in \
                  DIR/log/0000/quarantine/";
    check(
        |image| flip(image, &segment(1), b"sign up"),
        (
            1,
            &[
                found,
                "; 2 events lost (sequence 0..2)\n",
                OLD_LOSS,
                "\nacknowledged records that cannot be read: 2; `forebay log repair` says what can be done\n",
            ],
        ),
        (
            0,
            &[
                step,
                gives_up,
                "\nsteps: 1, records given up: 2; nothing was changed, --accept-loss does it\n",
            ],
        ),
        (0, &[step, gives_up, "\nsteps done: 1, records given up: 2\n"]),
        (0, &["lost and accepted in lane 0: sequence 0..2\n", OLD_LOSS, ALL_BUT_ACCEPTED]),
    );
}

#[test]
fn a_missing_segment_is_counted_by_what_stands_around_it() {
    let step = "DIR/log/0000/00000000000000000002.seg: no frame where there was one: the bytes are gone; a segment with \
                a loss frame takes its place: 5 events given up (sequence 4..9)\n";
    check(
        |image| drop(image.remove(&segment(2)).unwrap()),
        (
            1,
            &[
                "damage in lane 0: DIR/log/0000/00000000000000000002.seg bytes 0..0: a segment is missing; 5 events \
                 lost (sequence 4..9)\n",
                "\nacknowledged records that cannot be read: 5; ",
            ],
        ),
        (0, &[step, "steps: 1, records given up: 5; nothing was changed"]),
        (0, &[step, "steps done: 1, records given up: 5\n"]),
        (0, &["lost and accepted in lane 0: sequence 4..9\n", ALL_BUT_ACCEPTED]),
    );
}

#[test]
fn a_damaged_index_is_a_finding_that_costs_nothing() {
    let index = "log/0000/00000000000000000001.idx";
    let step = "DIR/log/0000/00000000000000000001.idx: the index is damaged: checksum mismatch; the index is made anew\n";
    check(
        |image| image.get_mut(index).unwrap()[100] ^= 1,
        (
            1,
            &[
                "index of lane 0: DIR/log/0000/00000000000000000001.idx: the index is damaged: checksum mismatch\n",
                "\nno acknowledged record is known to be lost; `forebay log repair` says what it can mend\n",
            ],
        ),
        (0, &[step, "steps: 1, records given up: 0; nothing was changed"]),
        (0, &[step, "steps done: 1, records given up: 0\n"]),
        (0, &[ALL_BUT_ACCEPTED]),
    );
}

#[test]
fn what_no_repair_can_mend_is_named_is_left_alone_and_fails() {
    let unreadable = "DIR/log/0000/00000000000000000009.seg: not a Forebay segment: wrong magic; what it held is not \
                      known: start the server once, which goes on behind any number that may have been given out, then \
                      repair; cannot be repaired\n";
    let foreign = "DIR/log/0000/00000000000000000009.seg: the segment belongs to another name; move it out of this data \
                   directory; cannot be repaired\n";
    for (copied, step) in [(None, unreadable), (Some(segment(3)), foreign)] {
        let end = "nothing that can be repaired\nbeyond repair, left as it is: 1\n";
        let found: (i32, &[&str]) = (
            1,
            &[
                "damage in lane 0: DIR/log/0000/00000000000000000009.seg bytes 0..",
                "no acknowledged record is known to be lost; `forebay log repair` says what it can mend\n",
            ],
        );
        check(
            |image| {
                let file = copied.map_or_else(|| vec![7; 8192], |name| image[&name].clone());
                image.insert(segment(9), file);
            },
            found,
            (1, &[step, end]),
            (1, &[step, end]),
            found,
        );
    }
}

#[test]
fn a_torn_tail_is_told_and_is_no_damage() {
    let torn = |image: &mut Image| {
        let file = image.get_mut(&segment(3)).unwrap();
        let end = file.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(4096);
        file[end..end + 700].fill(0x5a);
    };
    let told: (i32, &[&str]) = (
        0,
        &[
            "behind what is proven durable in lane 0: DIR/log/0000/00000000000000000003.seg bytes ",
            " hold no whole frame; the next start copies them to quarantine and cuts them off\n",
            ALL_BUT_ACCEPTED,
        ],
    );
    let nothing: (i32, &[&str]) = (0, &["nothing to repair\n"]);
    check(torn, told, nothing, nothing, told);
}
