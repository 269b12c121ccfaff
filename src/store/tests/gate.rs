//! A disk on which one call waits until it is let go, so that other things happen in the middle of it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;

use crate::sim::SimDisk;
use crate::{Disk, DiskFile, DiskLock};

/// Which call waits, and what becomes of it then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    CreateAndFail,
    Rename,
}

struct Armed {
    call: Call,
    ending: &'static str,
    reached: mpsc::Sender<()>,
    release: mpsc::Receiver<()>,
}

/// The two ends of an armed call: it was reached, and it may go on.
pub(super) struct Held {
    reached: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

impl Held {
    /// Waits until the call was made.
    pub(super) fn reached(&self) {
        self.reached.recv().unwrap();
    }

    /// Lets it go on.
    pub(super) fn release(&self) {
        self.release.send(()).unwrap();
    }
}

/// A simulated disk with a gate in front. Clones share both.
#[derive(Clone)]
pub(super) struct GatedDisk {
    pub(super) disk: SimDisk,
    armed: Arc<Mutex<Option<Armed>>>,
}

impl GatedDisk {
    pub(super) fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), armed: Arc::default() }
    }

    /// Holds the next such call on a file with this ending; it is held once.
    pub(super) fn hold(&self, call: Call, ending: &'static str) -> Held {
        let (reached, on_reached) = mpsc::channel();
        let (on_release, release) = mpsc::channel();
        *self.armed.lock().unwrap() = Some(Armed { call, ending, reached, release });
        Held { reached: on_reached, release: on_release }
    }

    fn pass(&self, calls: &[Call], path: &Path) -> io::Result<()> {
        let armed = {
            let mut armed = self.armed.lock().unwrap();
            let meant = armed
                .as_ref()
                .is_some_and(|armed| calls.contains(&armed.call) && path.to_string_lossy().ends_with(armed.ending));
            if meant { armed.take() } else { None }
        };
        let Some(armed) = armed else { return Ok(()) };
        armed.reached.send(()).unwrap();
        armed.release.recv().unwrap();
        if armed.call == Call::CreateAndFail { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for GatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.pass(&[Call::Create, Call::CreateAndFail], path)?;
        self.disk.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.disk.map(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(&[Call::Rename], to)?;
        self.disk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_space(path)
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }
    fn lock(&self, path: &Path, note: &str) -> io::Result<std::result::Result<Box<dyn DiskLock>, String>> {
        self.disk.lock(path, note)
    }
}
