//! Mistakes on purpose, to show that the tests would notice: in the test build only.
//!
//! At each place that a promise rests on, `mutant!` holds the mistake beside the right code. The product is built
//! without a trace of it: there the macro leaves the right code alone. In tests a mistake is made while
//! [`Mutant::during`] runs, on that thread only. `simulation/mutants.rs` demands that each one is caught.

/// `mutant!(Name, { statements })` does the statements as well, or first, in the mutant; `mutant!(Name: wrong, else
/// right)` is `wrong` in the mutant.
#[cfg(test)]
macro_rules! mutant {
    ($name:ident, $wrong:block) => {
        if $crate::mutant::Mutant::$name.is_active() $wrong
    };
    ($name:ident: $wrong:expr, else $right:expr) => {
        if $crate::mutant::Mutant::$name.is_active() { $wrong } else { $right }
    };
}

#[cfg(not(test))]
macro_rules! mutant {
    ($name:ident, $wrong:block) => {};
    ($name:ident: $wrong:expr, else $right:expr) => {
        $right
    };
}

#[cfg(test)]
pub(crate) use active::Mutant;

#[cfg(test)]
mod active {
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    macro_rules! mutants {
        ($($(#[doc = $about:literal])+ $name:ident,)+) => {
            /// A mistake that somebody could make.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) enum Mutant {
                $($(#[doc = $about])+ $name,)+
            }

            impl Mutant {
                /// All of them, and what each does wrong.
                pub(crate) const ALL: &[(Mutant, &str)] = &[$((Mutant::$name, concat!($($about),+)),)+];
            }
        };
    }

    mutants! {
        /// A commit does not flush.
        FlushDropped,
        /// A commit is acknowledged, and flushed when the next one comes.
        AckBeforeFlush,
        /// A segment is put to use without flushing its folder.
        DirSyncSkipped,
        /// A flush that failed is tried again on the same file, and believed when it says fine.
        FlushRetried,
        /// Recovery cuts a segment at its first bad frame, whatever proves that it was acknowledged.
        CutAtFirstBadFrame,
        /// Recovery publishes the watermark, then flushes what it names.
        PublishedBeforeFlush,
        /// A commit writes the watermark file, then flushes the group it names.
        WatermarkAhead,
        /// Recovery carries unproven frames to a fresh segment, and does not flush it.
        CarriedUnflushed,
        /// Recovery keeps unproven frames, which may stand in the cache only, where they are.
        TailNotCarried,
        /// Recovery takes the watermark file's word for where the lane ends.
        WatermarkBelieved,
        /// Recovery gives out sequences again that the watermark file did not know of.
        SequenceReused,
        /// Recovery checks headers, and takes the payloads on trust.
        RecoveryTrustsPayloads,
        /// Recovery takes a torn tail for damage.
        TornTailKept,
        /// A segment's header is written and not flushed before its name is.
        HeaderUnflushed,
        /// Groups are not padded: two of them share a page.
        GroupsShareAPage,
        /// The frames of a group whose flush failed count, although their appends are tried again.
        FailedGroupCounted,
        /// After a failed flush the writer goes on in the same segment.
        FailedSegmentWrittenOn,
        /// A failed segment's successor does not say where that one ends, and it is not cut there.
        FailedEndNowhere,
        /// A failed segment is not cut where it ends: its successor's header is all that says it.
        FailedEndNotCut,
        /// A commit whose last try failed is acknowledged all the same.
        FailureAcknowledged,
        /// Housekeeping gives back a page too much of a closed segment.
        TrimmedShort,
        /// Retention takes the newest segment too.
        RetentionTakesTheNewest,
        /// The watermark file has one copy, written over each time.
        OneWatermarkCopy,
        /// Every segment has the same salt.
        SaltReused,
        /// A reader reads on behind the watermark while frames go on.
        ReaderPastTheWatermark,
        /// A reader does not check payloads.
        ReaderTrustsPayloads,
        /// A reader goes over damage without a word.
        GapKeptSilent,
        /// An index is believed without its checksum.
        IndexUnchecked,
        /// Readers stop at damage instead of going on behind it.
        ReaderStopsAtDamage,
    }

    impl Mutant {
        /// Makes the mistake on this thread while `run` runs.
        pub(crate) fn during<T>(self, run: impl FnOnce() -> T) -> T {
            struct Restore;
            impl Drop for Restore {
                fn drop(&mut self) {
                    ACTIVE.set(None);
                }
            }
            ACTIVE.set(Some(self));
            let _restore = Restore;
            run()
        }

        pub(crate) fn is_active(self) -> bool {
            ACTIVE.get() == Some(self)
        }
    }
}
