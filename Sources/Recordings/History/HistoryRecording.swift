internal import FoundationEssentials

/// A stream recorded in an older kernel: one CPU, interrupts off, so that nothing but the stream
/// touches the allocator.
struct HistoryRecording {
  struct Header: Decodable {
    let op: String
    let release: String
    let cma: Area?

    struct Area: Decodable {
      let base_pfn: Int
      let count: Int
    }
  }

  struct Record: Decodable {
    let op: String
    let gfp: String?
    let order: Int?
    let h: Int?
    let pfn: Int?
    let tag: String?
    let zones: [Zone]?
  }

  struct PerCPU: Decodable {
    let count: Int
    let high: Int
    let hmin: Int
    let hmax: Int
    let batch: Int
    let flags: Int
    let af: Int
    let fc: Int
  }

  struct Zone: Decodable {
    let idx: Int
    let name: String
    let start: Int
    let spanned: Int
    let present: Int
    let managed: Int
    let min: Int
    let low: Int
    let high: Int
    let promo: Int
    let boost: Int
    let flags: Int
    let reshi: Int
    let freehi: Int
    let nrfree: Int
    let diff: Int
    let thr: Int
    let drift: Int
    let cmafree: Int
    let cdiff: Int
    let cmapages: Int
    let lowmem: [Int]
    let pcp: PerCPU
    let pcp_lists: [String: [Entry]]
    let nr_free: [Int]
    let free: [String: [String: [Int]]]
    let pageblocks: String
    let movable_nibbles: String
  }

  /// A page of a per-CPU list; kernels up to 6.9 remember its type.
  struct Entry: Decodable {
    let pfn: Int
    let cachedType: Int?

    init(from decoder: any Decoder) throws {
      if let single = try? decoder.singleValueContainer(), let pfn = try? single.decode(Int.self) {
        self.pfn = pfn
        cachedType = nil
        return
      }
      var list = try decoder.unkeyedContainer()
      pfn = try list.decode(Int.self)
      cachedType = try list.decode(Int.self)
    }
  }

  let path: String
  let header: Header
  let lines: [Data]

  init(path: String, lines: [Data]) throws(RecordingError) {
    self.path = path
    self.lines = lines
    header = try LineDecoder.decode(Header.self, lines[0], path, 1)
  }

  var count: Int { lines.count - 1 }

  func record(_ index: Int) throws(RecordingError) -> Record {
    let record = try LineDecoder.decode(Record.self, lines[index + 1], path, index + 2)
    for zone in record.zones ?? [] {
      guard (0..<4).contains(zone.idx), zone.nr_free.count == 11,
        (0...1 << 31).contains(zone.start),
        (0...1 << 31).contains(zone.spanned)
      else {
        throw RecordingError(path, line: index + 2, "zone \(zone.name) has numbers that cannot be")
      }
    }
    return record
  }
}
