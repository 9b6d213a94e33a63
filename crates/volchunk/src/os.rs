//! Every call to the operating system that std does not wrap alike everywhere.

use std::{fs::File, io, ptr::NonNull};

/// Reads exactly `buffer.len()` bytes at `offset`, without moving a shared cursor.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] where the file ends before.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let (mut done, len) = (0, buffer.len());
        while done < len {
            match file.seek_read(&mut buffer[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Writes all of `buffer` at `offset`, without moving a shared cursor.
///
/// # Errors
/// What the system reports, such as a full disk.
pub fn write_all_at(file: &File, buffer: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, buffer, offset)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let (mut done, len) = (0, buffer.len());
        while done < len {
            match file.seek_write(&buffer[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Closes `file`: a network file system may tell only now that what was written is lost.
///
/// # Errors
/// What the system reports.
pub fn close(file: File) -> io::Result<()> {
    #[cfg(unix)]
    {
        // SAFETY: the descriptor is the file's own, which is given up here; nothing else closes it.
        let failed = unsafe { libc::close(std::os::fd::IntoRawFd::into_raw_fd(file)) } != 0;
        match io::Error::last_os_error() {
            // It is closed all the same.
            e if failed && e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        drop(file);
        Ok(())
    }
}

/// Waits until the names in `folder` are on the disk, where the system can.
///
/// # Errors
/// What the system reports.
pub fn sync_folder(folder: &std::path::Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let here = folder.as_os_str().is_empty();
        File::open(if here { std::path::Path::new(".") } else { folder })?.sync_all()
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

/// Asks for huge pages under `memory`, which halves the cost of touching it first. Advice only.
pub fn advise_huge_pages(memory: &mut [u8]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = (memory.as_ptr() as usize).next_multiple_of(PAGE);
        let stop = (memory.as_ptr() as usize + memory.len()) / PAGE * PAGE;
        if stop > start {
            // SAFETY: the range lies within `memory`, which is borrowed mutably; MADV_HUGEPAGE
            // changes no content, and its failure is harmless.
            unsafe {
                libc::madvise(start as *mut libc::c_void, stop - start, libc::MADV_HUGEPAGE);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Has the allocator give large blocks back to the system as soon as they are freed, where it would
/// keep them. For programs: it holds for the whole process.
pub fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets a number; setting this one stops its silent growth to 32 MiB.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// An empty file without a name, in memory where the system has such files: what is written to it
/// is gone when the last process that holds it ends.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] on Windows; what the system reports, such as too many open files.
pub fn anonymous_file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::{AsRawFd, FromRawFd};
        // SAFETY: the name is a C string, the flags are plain numbers.
        let memfd = unsafe {
            libc::memfd_create(c"volchunk".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
        };
        if memfd >= 0 {
            // SAFETY: the descriptor is new, and nobody else's.
            let file = unsafe { File::from_raw_fd(memfd) };
            // A process that shrank it would end all others that have it mapped. Where the kernel
            // refuses the seal, it is only not prevented.
            // SAFETY: fcntl only reads its arguments.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) };
            return Ok(file);
        }
        // Some sandboxes forbid it: a deleted file, as elsewhere.
    }
    #[cfg(unix)]
    {
        unlinked_file()
    }
    #[cfg(not(unix))]
    {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no anonymous files"))
    }
}

/// A new file in the directory for temporary files, already deleted. (Of POSIX's own shared memory,
/// macOS lets the length be set only once.)
#[cfg(unix)]
fn unlinked_file() -> io::Result<File> {
    use std::{
        os::unix::fs::OpenOptionsExt,
        sync::atomic::{AtomicU64, Ordering},
    };
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("volchunk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = File::options();
        match options.read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            // A forked process, or one before us with the same number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// Makes an anonymous file longer, to `len` bytes. Of one that lies on a disk the room is taken now:
/// a disk that is full later would end whoever writes through a mapping, by a signal.
///
/// # Errors
/// What the system reports, such as a full disk.
pub fn lengthen(file: &File, len: u64) -> io::Result<()> {
    #[cfg(unix)]
    if !in_memory(file) {
        allocate(file, len)?;
    }
    if file.metadata()?.len() < len { file.set_len(len) } else { Ok(()) }
}

/// Whether it is a memfd, whose pages are the system's memory and no file system's.
#[cfg(unix)]
fn in_memory(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: fcntl only reads its arguments.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        // A file of tmpfs has seals too, but is sealed against more of them.
        seals >= 0 && seals & libc::F_SEAL_SEAL == 0
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Takes room for the first `len` bytes of a file, where the system has a call for that.
#[cfg(unix)]
fn allocate(file: &File, len: u64) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    {
        use std::os::fd::AsRawFd;
        let len = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        loop {
            // SAFETY: its arguments are plain numbers.
            match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
                0 => return Ok(()),
                libc::EINTR => {}
                code => return Err(io::Error::from_raw_os_error(code)),
            }
        }
    }
    #[cfg(target_vendor = "apple")]
    {
        use std::os::{fd::AsRawFd, unix::fs::MetadataExt};
        let there = file.metadata()?.blocks() * 512;
        let Some(more) = len.checked_sub(there).filter(|&n| n > 0) else { return Ok(()) };
        let mut store = libc::fstore_t {
            fst_flags: libc::F_ALLOCATEALL,
            fst_posmode: libc::F_PEOFPOSMODE,
            fst_offset: 0,
            fst_length: more.try_into().map_err(|_| io::ErrorKind::FileTooLarge)?,
            fst_bytesalloc: 0,
        };
        // SAFETY: fcntl reads and fills the fstore_t, which lives.
        let failed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut store) };
        if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
    #[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
    {
        let _ = (file, len);
        Ok(())
    }
}

/// Pages that a file shares with all who map it; unmapped on drop.
#[derive(Debug)]
pub struct SharedMapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory that belongs to the process, not to a thread; it is reached through a raw
// pointer alone, whose users answer for what they do.
unsafe impl Send for SharedMapping {}
// SAFETY: as above.
unsafe impl Sync for SharedMapping {}

impl SharedMapping {
    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Bytes that are mapped.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and nothing borrows from it any more. The call fails
        // for ranges that are none, only.
        #[cfg(unix)]
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}

/// Maps the first `len` bytes of `file`, to read and write.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] on Windows; what the system reports: no memory, a `len` of zero, a
/// file that may not be written.
pub fn map_shared(file: &File, len: u64) -> io::Result<SharedMapping> {
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping, where the system finds room for it; it touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedMapping { start, len })
    }
    #[cfg(not(unix))]
    {
        let _ = (file, len);
        Err(io::Error::new(io::ErrorKind::Unsupported, "shared memory needs a Unix system"))
    }
}

/// The process's resident memory now, in bytes; None where the system does not tell.
pub fn resident_memory() -> Option<u64> {
    status_field("VmRSS:")
}

/// The highest resident memory that the process had so far, in bytes.
pub fn peak_resident_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        status_field("VmHWM:")
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        // SAFETY: rusage is plain integers, for which zero is valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live rusage.
        let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0;
        // macOS counts bytes, the BSDs kilobytes.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        (!failed).then(|| usage.ru_maxrss as u64 * unit)
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// Bytes that the machine, or the tightest cgroup above this process, leaves free.
pub fn available_memory() -> Option<u64> {
    let machine = machine_available();
    match (machine, cgroup_available()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A field of /proc/self/status in bytes.
fn status_field(name: &str) -> Option<u64> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

/// The number behind `name`, given in kB, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(not(target_os = "macos"))]
fn machine_available() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// macOS has no such figure short of Mach calls: half of the installed memory stands for it.
#[cfg(target_os = "macos")]
fn machine_available() -> Option<u64> {
    // SAFETY: sysconf only reads its argument.
    let (pages, size) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    (pages > 0 && size > 0).then(|| pages as u64 / 2 * size as u64)
}

/// What the cgroups (version 2, or version 1's memory controller) leave; None outside of one.
fn cgroup_available() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut least = None;
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, limit, used) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            c if c.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => continue,
        };
        let number = |dir: &std::path::Path, file: &str| -> Option<u64> {
            std::fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
        };
        // A limit may stand at any ancestor, and in a container the path may not be visible.
        let mut dir = std::path::PathBuf::from(root).join(path.trim_start_matches('/'));
        loop {
            if let (Some(limit), Some(used)) = (number(&dir, limit), number(&dir, used)) {
                // The page cache counts as used there, but gives way.
                let stat = std::fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
                let cache: u64 = ["inactive_file ", "active_file "]
                    .iter()
                    .filter_map(|name| {
                        let lines = || stat.lines();
                        let total = format!("total_{name}");
                        let value = lines()
                            .find_map(|l| l.strip_prefix(&total[..]))
                            .or_else(|| lines().find_map(|l| l.strip_prefix(name)))?;
                        value.trim().parse::<u64>().ok()
                    })
                    .sum();
                let free = limit.saturating_sub(used.saturating_sub(cache));
                least = Some(least.map_or(free, |l: u64| l.min(free)));
            }
            if dir.as_os_str() == root || !dir.pop() {
                break;
            }
        }
    }
    least
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    /// What Linux falls back to where a sandbox forbids memfd_create.
    #[test]
    fn an_unlinked_file_is_shared_without_a_name() {
        let file = super::unlinked_file().unwrap();
        super::lengthen(&file, 10_000).unwrap();
        let there = file.metadata().unwrap();
        assert_eq!((there.nlink(), there.len()), (0, 10_000));
        assert!(there.blocks() * 512 >= 10_000, "sparse: a full disk would be a SIGBUS");
        let (one, other) =
            (super::map_shared(&file, 10_000).unwrap(), super::map_shared(&file, 100).unwrap());
        // SAFETY: both mappings live, and nothing else uses them.
        let seen = unsafe {
            one.as_ptr().add(99).write(5);
            other.as_ptr().add(99).read()
        };
        assert_eq!((seen, one.len(), other.len()), (5, 10_000, 100));
    }
    /// No room at all for it on any disk; and never shorter.
    #[test]
    fn no_room_is_an_error_and_a_file_never_shrinks() {
        let file = super::unlinked_file().unwrap();
        assert!(super::lengthen(&file, i64::MAX as u64).is_err());
        super::lengthen(&file, 10_000).unwrap();
        super::lengthen(&file, 10).unwrap();
        assert!(file.metadata().unwrap().len() >= 10_000);
    }

    /// Pages of a memfd are there when they are touched, not before.
    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_not_taken_before_it_is_written() {
        let file = super::anonymous_file().unwrap();
        super::lengthen(&file, 1 << 30).unwrap();
        let there = file.metadata().unwrap();
        assert_eq!(there.len(), 1 << 30);
        // Where a sandbox forbids memfd_create, the file is one of a disk.
        assert!(there.blocks() == 0 || !super::in_memory(&file));
    }
}
