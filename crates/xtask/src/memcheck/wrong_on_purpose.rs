//! Wrong on purpose, in the way its argument says: memcheck must notice. Part of no crate; the step `memcheck`
//! compiles it by itself.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{c_int, c_long, c_void};
use std::hint::black_box;

unsafe extern "C" {
    fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void;
    fn munmap(at: *mut c_void, len: usize) -> c_int;
}

const PAGE: usize = 4096;
const READ_AND_WRITE: c_int = 3;
const PRIVATE_AND_ANONYMOUS: c_int = 0x22;

fn main() {
    let what = std::env::args().nth(1).expect("says what is to be wrong");
    let layout = Layout::array::<u8>(64).expect("64 bytes");
    // SAFETY: a private anonymous map, and memory of the allocator; each use below is what the argument says.
    unsafe {
        let map = mmap(std::ptr::null_mut(), PAGE, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0).cast::<u8>();
        assert!(map as isize != -1, "no map");
        map.write(1);
        let heap = alloc(layout);
        match what.as_str() {
            "nothing" => {
                heap.write(1);
                assert!(black_box(heap.read() + map.read()) == 2);
            }
            "use-after-unmap" => {
                munmap(map.cast(), PAGE);
                black_box(map.read_volatile());
            }
            "use-after-free" => {
                dealloc(heap, layout);
                black_box(heap.read_volatile());
                return;
            }
            "never-written" => {
                if black_box(heap.add(3).read_volatile()) == 7 {
                    println!("seven");
                }
            }
            other => panic!("nothing is known of {other:?}"),
        }
        dealloc(heap, layout);
    }
}
