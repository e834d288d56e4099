// What the operating system said about a file, and the one safe way to replace a file.

internal import Glibc

/// A file operation that did not work: which file, and the reason in the system's words.
public struct FileFailure: Error, Equatable, CustomStringConvertible {
  public var path: String
  public var reason: String

  public init(path: String, reason: String) {
    self.path = path
    self.reason = reason
  }

  /// The failure that the last system call left in `errno`.
  public init(path: String) {
    self.init(path: path, reason: unsafe String(cString: strerror(errno)))
  }

  public var description: String { "\(path): \(reason)" }
}

/// An open file, closed when the value goes away.
struct OpenFile: ~Copyable {
  let descriptor: CInt

  init(_ path: String, _ flags: CInt, mode: mode_t = 0) throws(FileFailure) {
    descriptor = unsafe open(path, flags | O_CLOEXEC, mode)
    if descriptor < 0 { throw FileFailure(path: path) }
  }

  deinit { close(descriptor) }
}

/// Replaces the file at `path` in one step: whoever looks sees all of the old or all of the new.
///
/// The new text is written next to it and renamed, so a full disk leaves the old file as it was.
/// A symbolic link stays one; the file it points to is replaced.
package func replaceFile(at path: String, with bytes: [UInt8], mode: UInt32) throws(FileFailure) {
  let target = resolvingLinks(path)
  let slash = target.lastIndex(of: "/").map { target.index(after: $0) } ?? target.startIndex
  let temporary = "\(target[..<slash]).\(target[slash...]).\(getpid()).tmp"

  // A name left over by a process that had our id and was killed.
  unsafe unlink(temporary)
  do throws(FileFailure) {
    let file = try OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
    if let code = Terminal.write(bytes, to: file.descriptor) {
      throw FileFailure(path: path, reason: unsafe String(cString: strerror(code)))
    }
    if fsync(file.descriptor) != 0 { throw FileFailure(path: path) }
    if unsafe rename(temporary, target) != 0 { throw FileFailure(path: path) }
  } catch {
    unsafe unlink(temporary)
    throw FileFailure(path: path, reason: error.reason)
  }
}

/// The file behind any symbolic links, or `path` itself if there is none yet.
private func resolvingLinks(_ path: String) -> String {
  guard let resolved = unsafe realpath(path, nil) else { return path }
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}
