//! Files of the server that statements read and write: COPY with a path, external tables.
//!
//! For: keeping statements inside the directories `store.external_dirs` names. Promises: a path is followed directory by
//! directory from an allowed one without following any link that appears after the check, so it cannot be led astray
//! while it is opened; only regular files are opened, and never waited for; a file that is written shows up whole, synced
//! and under its name, or not at all. What lies outside is refused alike whether it exists or not. Does not: know formats,
//! or reach beyond the local file system.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use tributary_pg::error::{PgError, PgResult, SqlState};
use tributary_pg::sqlstate;
use tributary_store::Store;

use super::catalog::Catalog;
use super::catalog::rights::has_role;

/// Whoever writes files writes for others to read, like PostgreSQL.
const NEW_FILE_MODE: u32 = 0o644;

/// What a role may do with files of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRight {
    /// Members of pg_read_server_files.
    Read,
    /// Members of pg_write_server_files.
    Write,
    /// Members of pg_execute_server_program.
    Execute,
}

impl FileRight {
    /// 42501 unless the role of this name has it; `what` follows "to", as in `COPY from a file`.
    pub(super) fn must_have(self, catalog: &Catalog, user: &str, what: &str) -> PgResult<()> {
        let group = match self {
            Self::Read => "pg_read_server_files",
            Self::Write => "pg_write_server_files",
            Self::Execute => "pg_execute_server_program",
        };
        let role = catalog.role(user);
        let held = |group: u32| role.is_some_and(|role| has_role(catalog, role, group));
        if role.is_some_and(|role| role.superuser) || catalog.role(group).is_some_and(|group| held(group.oid)) {
            return Ok(());
        }
        let message = format!("must be superuser or have privileges of the {group} role to {what}");
        Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message))
    }
}

/// Where statements may read and write files: in these directories, but never among the server's own files.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    dirs: Vec<PathBuf>,
    data_dir: PathBuf,
}

impl Allowed {
    /// What the store's configuration says.
    pub(super) fn of(store: &Store) -> Self {
        Self { dirs: store.external_dirs().to_vec(), data_dir: store.data_dir().to_owned() }
    }

    /// A path without links: is it the data directory or in it? So does a directory that cannot be told.
    fn is_own(&self, resolved: &Path) -> bool {
        self.data_dir.canonicalize().map_or(true, |own| resolved.starts_with(own))
    }
}

/// A path that may be used: an allowed directory and what is below it, links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// As the statement has it, for messages.
    shown: String,
    root: PathBuf,
    below: PathBuf,
}

/// Where a path leads; 42501 if that is in none of the allowed directories. Nothing need be there yet.
pub(super) fn place(path: &str, allowed: &Allowed) -> PgResult<Place> {
    let outside = || {
        PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "path is outside the allowed directories")
            .hint("Set store.external_dirs, or use COPY FROM STDIN or COPY TO STDOUT; psql's \\copy does.")
    };
    let given = Path::new(path);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !given.is_absolute() || !given.components().all(plain) || path.contains('\0') {
        return Err(outside());
    }
    let known = given.ancestors().find(|ancestor| ancestor.exists()).ok_or_else(outside)?;
    let rest = given.strip_prefix(known).map_err(|_| outside())?;
    let resolved = known.canonicalize().map_err(|_| outside())?.join(rest);
    if allowed.is_own(&resolved) {
        return Err(outside());
    }
    let inside = allowed.dirs.iter().filter_map(|dir| dir.canonicalize().ok()).find_map(|root| {
        let below = resolved.strip_prefix(&root).ok()?.to_owned();
        Some(Place { shown: path.to_owned(), root, below })
    });
    inside.ok_or_else(outside)
}

impl Place {
    /// The whole path, links resolved.
    pub(super) fn path(&self) -> PathBuf {
        self.root.join(&self.below)
    }

    /// As the statement has it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The directory that holds it and its name there; no link is followed on the way.
    fn parent(&self) -> Result<(OwnedFd, &Path), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = rustix::fs::openat(CWD, &self.root, flags, Mode::empty())?;
        let mut names = self.below.iter().peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Ok((directory, Path::new(name)));
            }
            directory = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
        }
        Err(Errno::ISDIR)
    }
}

/// A file that is read, and what it looked like when it was opened.
#[derive(Debug)]
pub(super) struct OpenedFile {
    /// Positioned at its start.
    pub(super) file: File,
    /// What it was.
    pub(super) facts: Facts,
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Bytes.
    pub(super) size: u64,
    /// Time of the last change, seconds and nanoseconds.
    modified: (i64, i64),
    inode: u64,
}

impl Facts {
    /// Of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { size: found.len(), modified: (found.mtime(), found.mtime_nsec()), inode: found.ino() })
    }
}

/// Opens a file to read it; PostgreSQL's words when that fails.
pub(super) fn open(place: &Place) -> PgResult<OpenedFile> {
    let failed = |error: io::Error| {
        let hint = "COPY FROM instructs the PostgreSQL server process to read a file. You may want a client-side \
                    facility such as psql's \\copy.";
        cannot(&format!("could not open file \"{}\" for reading", place.shown), &error, hint)
    };
    // Not waited for: the open of a pipe would last until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = place.parent().and_then(|(parent, name)| rustix::fs::openat(&parent, name, flags, Mode::empty()));
    let file = match opened {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::ISDIR) => return Err(wrong_kind(format!("\"{}\" is a directory", place.shown))),
        // A socket.
        Err(Errno::NXIO) => return Err(wrong_kind(format!("\"{}\" is not a regular file", place.shown))),
        Err(error) => return Err(failed(error.into())),
    };
    let found = file.metadata().map_err(failed)?;
    if found.is_dir() {
        return Err(wrong_kind(format!("\"{}\" is a directory", place.shown)));
    }
    if !found.is_file() {
        return Err(wrong_kind(format!("\"{}\" is not a regular file", place.shown)));
    }
    let facts = Facts::of(&file).map_err(failed)?;
    Ok(OpenedFile { file, facts })
}

impl OpenedFile {
    /// The file itself.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Fills the buffer as far as the file goes.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> PgResult<usize> {
        self.file.read(buffer).map_err(|error| cannot("could not read from COPY file", &error, ""))
    }
}

/// A file being written under another name. Dropped before [`NewFile::keep`], it goes.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    parent: OwnedFd,
    name: PathBuf,
    /// Its name until it is kept.
    temporary: Option<String>,
}

impl NewFile {
    /// Begins a file; what is there under its name stays until the new one is whole.
    pub(super) fn create(place: &Place) -> PgResult<Self> {
        let failed = |error: Errno| {
            let hint = "COPY TO instructs the PostgreSQL server process to write a file. You may want a client-side \
                        facility such as psql's \\copy.";
            cannot(&format!("could not open file \"{}\" for writing", place.shown), &error.into(), hint)
        };
        let (parent, name) = place.parent().map_err(failed)?;
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => {}
                FileType::Directory => return Err(failed(Errno::ISDIR)),
                _ => return Err(wrong_kind(format!("\"{}\" is not a regular file", place.shown))),
            },
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        let temporary = format!(".copy-{}.tmp", uuid::Uuid::new_v4());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(NEW_FILE_MODE);
        let file = rustix::fs::openat(&parent, &temporary, flags, mode).map_err(failed)?;
        Ok(Self { file: File::from(file), parent, name: name.to_owned(), temporary: Some(temporary) })
    }

    /// Syncs it and gives it its name.
    pub(super) fn keep(mut self) -> PgResult<()> {
        let failed = |error: io::Error| cannot("could not write to COPY file", &error, "");
        self.file.sync_all().map_err(failed)?;
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        if let Err(error) = rustix::fs::renameat(&self.parent, &temporary, &self.parent, &self.name) {
            self.temporary = Some(temporary);
            return Err(failed(error.into()));
        }
        rustix::fs::fsync(&self.parent).map_err(|error| failed(error.into()))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && let Err(error) = rustix::fs::unlinkat(&self.parent, temporary, AtFlags::empty())
        {
            tracing::warn!(%error, "an unfinished file of COPY TO stays behind");
        }
    }
}

/// What a write to a [`NewFile`] failed with.
pub(super) fn write_error(error: &io::Error) -> PgError {
    cannot("could not write to COPY file", error, "")
}

fn wrong_kind(message: String) -> PgError {
    PgError::new(sqlstate::WRONG_OBJECT_TYPE, message)
}

/// An operating system's error in PostgreSQL's words. The hint is for files that are not there or not ours.
pub(super) fn cannot(what: &str, error: &io::Error, hint: &str) -> PgError {
    let (code, elsewhere) = code_of(error);
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let message = format!("{what}: {text}");
    PgError::new(code, message).hint_opt((elsewhere && !hint.is_empty()).then(|| hint.to_owned()))
}

/// PostgreSQL's errcode_for_file_access, and whether the client may have meant a file of its own.
fn code_of(error: &io::Error) -> (SqlState, bool) {
    let Some(number) = error.raw_os_error() else { return (sqlstate::IO_ERROR, false) };
    match Errno::from_raw_os_error(number) {
        Errno::ACCESS => (sqlstate::INSUFFICIENT_PRIVILEGE, true),
        // A link appeared after the check.
        Errno::PERM | Errno::ROFS | Errno::LOOP => (sqlstate::INSUFFICIENT_PRIVILEGE, false),
        Errno::NOENT => (sqlstate::UNDEFINED_FILE, true),
        Errno::EXIST => (sqlstate::DUPLICATE_FILE, false),
        Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY => (sqlstate::WRONG_OBJECT_TYPE, false),
        Errno::NOSPC | Errno::DQUOT => (sqlstate::DISK_FULL, false),
        Errno::MFILE | Errno::NFILE => (sqlstate::INSUFFICIENT_RESOURCES, false),
        _ => (sqlstate::IO_ERROR, false),
    }
}
