#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// Where the scripts of a session may write files.
public enum FileWriting: Sendable, Equatable {
  /// Nowhere: scripts of strangers.
  case nowhere
  /// In a folder and the folders in it, whatever links a path goes through.
  case beneath(String)
  /// Wherever the process may: what a user types, or runs with `--unsafe`.
  case anywhere

  /// Why a file may not be written; nil when it may.
  func refusal(_ path: String) -> String? {
    switch self {
    case .anywhere: return nil
    case .nowhere: return "this session may not write files"
    case .beneath(let folder):
      guard let root = Self.resolve(folder) else { return "there is no folder '\(folder)'" }
      let parent = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
      // A link in the file's place leads on; one that leads nowhere is replaced itself.
      guard let place = Self.resolve(path) ?? Self.resolve(parent) else {
        return "there is no folder '\(parent)'"
      }
      let isInside = place == root || place.hasPrefix(root == "/" ? root : root + "/")
      return isInside
        ? nil
        : "the sandbox lets scripts write in \(root) alone; save there, or run pinlab --unsafe"
    }
  }

  private static func resolve(_ path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }
}
