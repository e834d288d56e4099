/// One line of a recording.
///
/// Which fields exist depends on `op`.
public struct RecordingRecord: Decodable, Sendable {
  public let op: String
  public let i: Int?
  public let cmd: String?
  public let t: Int?
  public let ns: Int?
  public let d: [String: Int]?
  public let zf: [[Int]]?
  public let ev: [RecordingEvent]?
  public let zv: [RecordingEvent]?

  public let order: Int?
  public let gfp: Int?
  public let pfn: Int?
  public let skipped: Int?

  public let tag: String?
  public let zones: [DumpZone]?
  public let cma: [DumpCMA]?
  public let lru_batches: [DumpLRUBatch]?
  public let sys: DumpSystem?
  public let vmstat: [String: Int]?
  public let pages: [String: [PageRun]]?
}

/// The first line.
public struct RecordingHeader: Decodable, Sendable {
  public let op: String
  public let exp: String
  public let desc: String
  public let mem: String
  public let smp: Int
  public let cmdline: String
  public let release: String
  public let config: [String: String]?
}

/// The second line.
public struct RecordingKernel: Decodable, Sendable {
  public let op: String
  public let release: String
  public let boot_log: [String]
}
