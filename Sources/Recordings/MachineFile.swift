public import MemoryModel

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// A machine on disk: a saved one, a recording, or a folder with a captured host.
public enum MachineFile {
  /// The machine that was saved, that of a recording's first full dump, or the one rebuilt from a
  /// capture.
  ///
  /// - Parameter report: Receives how far a captured host can be trusted. The others tell all.
  /// - Parameter goesOn: Asked now and then; false gives up.
  public static func load(
    _ path: String, goesOn: () -> Bool = { true }, report: (CaptureReport) -> Void = { _ in }
  ) throws(RecordingError) -> Machine {
    if SavedMachine.isSaved(path) { return try SavedMachine.load(path, goesOn: goesOn) }
    var info = stat()
    guard unsafe stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
      return try ReplayFile.initialMachine(path)
    }
    let host = try HostImage.load(path)
    report(host.report)
    do throws(MemoryError) {
      return try Machine.restore(host.image)
    } catch {
      throw RecordingError("\(path): the captured host cannot be rebuilt: \(error.message)")
    }
  }
}
