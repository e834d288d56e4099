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

  public let addr: Int?
  public let len: Int?
  public let type: String?
  public let ret: Int?
  public let step: Int?
  public let done: Int?
  public let map: [MappedRun]?
  public let area: Int?
  public let count: Int?
  public let align: Int?
  public let no_warn: Int?
  public let ok: Int?
  public let mt: MigrateTypeField?
  public let log: [String]?
  public let start_pfn: Int?

  public let h: Int?
  public let nr: Int?
  public let uaddr: Int?
  public let foll: Int?
  public let fast: Int?
  public let pinned: Int?
  /// `[pfn, n]`, going down if n is negative.
  public let pfns: [[Int]]?
  public let adv: Int?
  public let va: Int?
  public let delay_ns: Int?
  public let `class`: String?
  public let ref: Int?
  public let mapcount: Int?
  public let head_pfn: Int?
  public let folio_ref: Int?
  public let folio_mapcount: Int?
  public let pincount: Int?
  public let maybe_pinned: Int?
  public let lt_pinnable: Int?
  public let flags: [String]?

  public let tag: String?
  public let zones: [DumpZone]?
  public let cma: [DumpCMA]?
  public let lru_batches: [DumpLRUBatch]?
  public let hstates: [DumpHugePool]?
  public let sys: DumpSystem?
  public let vmstat: [String: Int]?
  public let pages: [String: [PageRun]]?
}

/// `[index, pfn, length, level]` of a page table, in base pages; pfns go down if length is negative.
public struct MappedRun: Decodable, Sendable {
  public let index: Int
  /// -1 where nothing is mapped.
  public let pfn: Int
  public let count: Int
  /// `p` a PTE, `m` a PMD, `s` an entry for swap or migration, `-` nothing.
  public let level: String

  public init(from decoder: any Decoder) throws {
    var container = try decoder.unkeyedContainer()
    index = try container.decode(Int.self)
    pfn = try container.decode(Int.self)
    count = try container.decode(Int.self)
    level = try container.decode(String.self)
  }
}

/// A migratetype: a number in `acr`, a name in `page`.
public enum MigrateTypeField: Decodable, Sendable, Equatable {
  case number(Int)
  case name(String)

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let number = try? container.decode(Int.self) {
      self = .number(number)
    } else {
      self = .name(try container.decode(String.self))
    }
  }
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
