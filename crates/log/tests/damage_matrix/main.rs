//! The damage matrix: every kind of damage at every block of a small store, against a plain model.
//!
//! The store is the checked-in one of format version 1: two lanes and the unclaimed one, sealed segments, one that
//! a repair wrote anew, two that were being written, indexes, watermarks, and the file that names the store. Each
//! test does one kind of harm to every block of it and compares what verification says, what readers get, what a
//! start does and reports, and what a repair gives up, with what the model ([`model`], [`start`]) works out from
//! the damage alone.
//!
//! # What must hold, whatever was done
//! * No record is ever served that was not written, nor at another sequence, nor changed.
//! * Each sequence stands in one record or in one gap; what stands whole is served.
//! * Nothing that was acknowledged is cut by a start; what is cut is copied aside.
//! * A repair gives up what verification named and nothing else, says so, and is final.

mod check;
#[path = "../../src/disk/sim/random.rs"]
#[expect(dead_code, reason = "the simulated disk's: each who draws uses a part")]
mod dice;
mod harm;
mod model;
#[path = "../common/opening.rs"]
mod opening;
#[path = "../common/packed.rs"]
mod packed;
mod random;
mod start;
mod truth;

use check::Matrix;
use forebay_record::{FRAME_HEADER_BYTES, FrameHeader, Seed, SegmentHeader, StoreId};
use harm::Harm;
use packed::Image;
use truth::Truth;

/// The segment that a repair wrote anew, and where the loss stands in it.
const REPAIRED: &str = "log/0000/00000000000000000002.seg";
const KEPT: &str = "log/0000/quarantine/00000000000000000002-0-8192-12288.damaged";
const LOSS_AT: usize = 8192;

/// The store, and what its blocks are in another store and were before the repair.
fn small() -> (Matrix, Vec<(&'static str, Image)>) {
    let image = packed::unpack(&packed::v1());
    let older = before_the_repair(&image);
    let mut truth = Truth::of(image);
    truth.add_older(REPAIRED, &older[REPAIRED]);
    let stranger = of_another_store(&truth);
    let matrix = Matrix::new(truth, &[("another store", stranger.clone())]);
    (matrix, vec![("another store", stranger), ("the generation before", older)])
}

/// The damage was one bit in an event: the copy that the repair kept, and the bit back.
fn before_the_repair(image: &Image) -> Image {
    let mut older = image.clone();
    let segment = older.get_mut(REPAIRED).expect("it is there");
    let mut kept = image[KEPT].clone();
    let lost = kept.windows(4).position(|w| w == b"most").expect("the event");
    kept[lost] ^= 1;
    segment[LOSS_AT..LOSS_AT + kept.len()].copy_from_slice(&kept);
    let header = SegmentHeader::decode(segment).expect("a header");
    let header = SegmentHeader { generation: 0, ..header }.encode();
    segment[..header.len()].copy_from_slice(&header[..]);
    older
}

/// The same events as another store would hold them: its own id and salts.
fn of_another_store(truth: &Truth) -> Image {
    let mut image = truth.image.clone();
    for lane in &truth.lanes {
        for segment in &lane.segments {
            let bytes = image.get_mut(&lane.path(segment.id)).expect("it is there");
            let header = SegmentHeader::decode(bytes).expect("a header");
            let (old, salt) = (header.salt, header.salt ^ 0x0123_4567_89ab_cdef);
            let header = SegmentHeader { store: StoreId([7; 16]), salt, ..header }.encode();
            bytes[..header.len()].copy_from_slice(&header[..]);
            for frame in segment
                .frames
                .iter()
                .filter(|frame| frame.generations.contains(&segment.headers[0].1.generation))
            {
                let position = frame.at as u64;
                let read = FrameHeader::decode(&bytes[frame.at..], Seed { salt: old, position });
                let encoded = read.expect("a frame").encode(Seed { salt, position });
                bytes[frame.at..frame.at + FRAME_HEADER_BYTES].copy_from_slice(&encoded);
            }
        }
    }
    image
}

fn check(matrix: &Matrix, harms: Vec<Harm>, at_least: usize) {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for harm in harms {
        let mut image = matrix.truth.image.clone();
        if harm.apply(&mut image) {
            cases += 1;
            if let Err(e) = matrix.check(&image) {
                wrong.push(format!("{harm}: {e}"));
            }
        }
    }
    eprintln!("{cases} damaged stores");
    let first: Vec<_> = wrong.iter().take(show()).cloned().collect();
    assert!(wrong.is_empty(), "{} of {cases} are not as the model says:\n{}", wrong.len(), first.join("\n"));
    assert!(cases >= at_least, "only {cases} cases");
}

fn show() -> usize {
    std::env::var("MATRIX_SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

#[test]
fn the_model_finds_nothing_wrong_with_a_whole_store() {
    let (matrix, _) = small();
    matrix.check(&matrix.truth.image).expect("as the model says");
}

/// The flips in files that this is so of.
fn flips(is_one: fn(&str) -> bool, at_least: usize) {
    let (matrix, _) = small();
    let mut harms = harm::flips(&matrix.truth);
    harms.retain(|harm| matches!(harm, Harm::Flip { file, .. } if is_one(file)));
    check(&matrix, harms, at_least);
}

#[test]
fn any_flipped_bit_of_the_first_lane_costs_its_frame_and_no_other() {
    flips(|file| file.starts_with("log/0000/") && file.ends_with(".seg"), 1000);
}

#[test]
fn any_flipped_bit_of_the_other_lanes_costs_its_frame_and_no_other() {
    flips(|file| !file.starts_with("log/0000/") && file.ends_with(".seg"), 1000);
}

#[test]
fn any_flipped_bit_of_an_index_a_watermark_or_the_store_file_costs_no_record() {
    flips(|file| !file.ends_with(".seg"), 1000);
}

#[test]
fn a_zeroed_block_is_found_and_costs_its_frames() {
    let (matrix, _) = small();
    check(&matrix, harm::zeros(&matrix.truth), 90);
}

#[test]
fn a_block_written_to_the_wrong_place_is_no_frame_there() {
    let (matrix, _) = small();
    check(&matrix, harm::duplicates(&matrix.truth), 500);
}

#[test]
fn swapped_blocks_are_no_frames() {
    let (matrix, _) = small();
    check(&matrix, harm::swaps(&matrix.truth), 300);
}

#[test]
fn files_cut_short_deleted_or_with_garbage_behind_cost_what_is_gone() {
    let (matrix, _) = small();
    check(&matrix, harm::lengths(&matrix.truth), 200);
}

#[test]
fn blocks_of_another_store_or_an_older_generation_are_told_apart() {
    let (matrix, others) = small();
    check(&matrix, harm::stale(&matrix.truth, &others), 50);
}
