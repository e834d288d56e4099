public import MemoryModel

/// A machine on disk: a recording, or a captured host.
public enum MachineFile {
  /// The machine of a recording's first full dump.
  public static func load(_ path: String) throws(RecordingError) -> Machine {
    try Replayer.initialMachine(try Recording(path: path))
  }
}
