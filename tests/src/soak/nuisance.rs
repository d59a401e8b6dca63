//! Clients that are slow, rude or broken: none of what they half said may be stored, and nobody else may suffer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::World;
use super::ledger::Fate;
use super::line;
use crate::Random;
use crate::wire::gzip;

/// Bothers the server until the world ends.
pub(crate) fn bother(world: &World) {
    let mut random = Random::named(world.seed, "nuisance");
    let mut held: Vec<TcpStream> = Vec::new();
    while !world.over() {
        world.nap(random.ms(200, 2_000));
        let Some(addr) = world.addr() else {
            held.clear();
            continue;
        };
        let Ok(mut stream) = TcpStream::connect_timeout(&addr, Duration::from_secs(2)) else { continue };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(2)));
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        world.tally.nuisances.fetch_add(1, Ordering::Relaxed);
        // What goes wrong on the socket from here on is what these clients are for.
        let _ = one(world, &mut random, &mut stream);
        if random.chance(30, 100) {
            held.push(stream);
        }
        // They stay for a while and go together, as behind a phone mast.
        if held.len() > 40 {
            held.clear();
        }
    }
}

fn one(world: &World, random: &mut Random, stream: &mut TcpStream) -> std::io::Result<()> {
    match random.within(0, 6) {
        0 => stream.write_all(b"POST /track HTTP/1.1\r\nHost: collector.te"),
        1 => {
            stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00 this is no HTTP at all\r\n\r\n")?;
            let mut answer = [0; 512];
            stream.read(&mut answer).map(drop)
        }
        // An event of which the last bytes never come.
        2 | 3 => {
            let id = world.ledger.take(&[0]);
            let body = line::event(id, &world.token(0, random), 100);
            let head =
                format!("POST /track HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body.as_bytes()[..body.len() - 5])?;
            world.ledger.settle(id, 1, Fate::Refused);
            stream.shutdown(Shutdown::Both)
        }
        // A gzip that breaks off.
        4 => {
            let body = gzip(&vec![b'x'; 5000]);
            let head = format!(
                "POST /track HTTP/1.1\r\nHost: a.test\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                body.len() - 9
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body[..body.len() - 9])?;
            let mut answer = [0; 512];
            stream.read(&mut answer).map(drop)
        }
        // A whole event, letter by letter, whose answer nobody reads.
        5 => {
            let id = world.ledger.take(&[0]);
            let body = line::event(id, &world.token(0, random), 0);
            let head =
                format!("POST /track HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
            for piece in [head.as_bytes(), body.as_bytes()].concat().chunks(40) {
                stream.write_all(piece)?;
                thread::sleep(Duration::from_millis(random.within(0, 60)));
            }
            Ok(())
        }
        _ => {
            let head = b"POST /track HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999\r\n\r\n";
            stream.write_all(head)?;
            stream.write_all(&vec![b'x'; 1 << 16])
        }
    }
}
