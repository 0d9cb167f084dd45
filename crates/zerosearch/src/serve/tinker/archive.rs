//! An archive: a folder as one compressed stream.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use axum::body::{Body, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::unfold;
use tokio::sync::mpsc::{Sender, channel};

/// Bytes that are sent at once.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the client.
const WAITING: usize = 8;

/// Whatever is written goes to the client.
struct Pipe(Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files in `folder` as a compressed tar, written as fast as the client reads it.
pub(super) fn stream(folder: PathBuf) -> Body {
    let (sender, receiver) = channel(WAITING);
    tokio::task::spawn_blocking(move || {
        if let Err(why) = write(&folder, Pipe(sender.clone())) {
            // The stream breaks off; a client that went away does not hear of it.
            drop(sender.blocking_send(Err(why)));
        }
    });
    let pieces = unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    Body::from_stream(pieces)
}

fn write(folder: &std::path::Path, pipe: Pipe) -> io::Result<()> {
    let packed = GzEncoder::new(BufWriter::with_capacity(PIECE, pipe), Compression::fast());
    let mut archive = tar::Builder::new(packed);
    archive.follow_symlinks(false);
    archive.append_dir_all("", folder)?;
    archive.into_inner()?.finish()?.flush()
}
