//! Lines for whoever started a process, and its log: neither ever ends the process.
//!
//! A pipe whose reader has gone and a disk that is full are no reason to stop protecting positions, so
//! nothing here panics, as `println!` and `eprintln!` do.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes a line to standard output.
///
/// # Errors
/// What the system reports; whoever only informs may leave it.
pub fn print_line(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes a line to standard error, if anybody can take it.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Standard error for a log: what cannot be written is counted, and reported when there is room again.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_line(&mut io::stderr().lock(), &LOST, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_line(out: &mut impl Write, lost: &AtomicU64, line: &[u8]) {
    let missing = lost.load(Ordering::Relaxed);
    if missing > 0 {
        // What was written last may have been cut off in the middle.
        let note = format!("\n{{\"level\":\"WARN\",\"lost_log_lines\":{missing}}}\n");
        if out.write_all(note.as_bytes()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lost.fetch_sub(missing, Ordering::Relaxed);
    }
    if out.write_all(line).is_err() {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk {
        space: usize,
        written: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.space);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.space -= fits;
            self.written.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_took_are_counted_and_reported_when_there_is_room_again() {
        let (mut disk, lost) = (Disk { space: 8, written: Vec::new() }, AtomicU64::new(0));
        for line in ["first\n", "second\n", "third\n"] {
            write_line(&mut disk, &lost, line.as_bytes());
        }
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        disk.space = 1_000;
        write_line(&mut disk, &lost, b"fourth\n");
        let text = String::from_utf8(disk.written).unwrap();
        assert_eq!(text, "first\nse\n{\"level\":\"WARN\",\"lost_log_lines\":2}\nfourth\n");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }
}
