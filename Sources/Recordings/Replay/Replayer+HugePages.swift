// What a task and its sysctl writes do to the pool of huge pages. A write to nr_hugepages is run by
// the model itself, block by block: where the recording shows a block of the pool, the model must come
// to the same one; what others did in between is fed as everywhere.

internal import MemoryModel

extension Replayer {
  /// A write to one of hugetlb's files under /proc/sys/vm or /sys/kernel/mm/hugepages.
  private struct HugeWrite {
    var isOvercommit: Bool
    var order: Int
    var count: Int
  }

  private static func hugeWrite(_ record: RecordingRecord) -> HugeWrite? {
    guard record.op == "user" else { return nil }
    let words = (record.cmd ?? "").split(separator: " ")
    // "write PATH VALUE => BYTES"
    guard words.count == 5, words[0] == "write", words[3] == "=>", let count = Int(words[2]),
      let bytes = Int(words[4]), bytes > 0, count >= 0
    else { return nil }
    let path = words[1].split(separator: "/")
    guard let name = path.last, name == "nr_hugepages" || name == "nr_overcommit_hugepages" else {
      return nil
    }
    var order = Geometry.x86_64.hugeOrder
    if let size = path.first(where: { $0.hasPrefix("hugepages-") && $0.hasSuffix("kB") }) {
      guard let kbytes = Int(size.dropFirst(10).dropLast(2)), kbytes >= 4 else { return nil }
      order = (kbytes / 4).trailingZeroBitCount
    }
    return HugeWrite(isOvercommit: name != "nr_hugepages", order: order, count: count)
  }

  /// Begins a write to nr_hugepages; writes nr_overcommit_hugepages at once.
  mutating func beginHugeWrite(
    _ record: RecordingRecord
  ) throws(MemoryError) -> HugePoolResize? {
    guard let write = Self.hugeWrite(record) else { return nil }
    guard write.isOvercommit else {
      return try machine.beginHugePoolResize(order: write.order, count: write.count)
    }
    try machine.setHugeOvercommit(order: write.order, count: write.count)
    return nil
  }

  /// Whether an event of a write to nr_hugepages is the pool's own: a block of its size, from the
  /// writing task.
  static func isPoolEvent(_ event: RecordingEvent) -> Bool {
    guard event.comm == nil, event.key == allocation || event.key == free else { return false }
    return event.arguments[1] == Geometry.x86_64.hugeOrder
  }

  /// Does the model's next step and compares it with the event.
  mutating func step(
    _ resize: inout HugePoolResize, against event: RecordingEvent
  ) -> (recorded: String, model: String)? {
    let allocates = event.key == Self.allocation
    let repeats = event.repetition(after: allocates ? 4 : 2)
    for index in 0..<abs(repeats) {
      let first = event.arguments[0]
      let recorded =
        first < 0 ? -1 : first + (index << event.arguments[1]) * repeats.signum()
      report.pageEvents += 1
      let step = machine.advance(&resize)
      let found =
        switch step {
        case .allocated(let pfn): allocates ? pfn.index : nil
        case .refused: allocates ? -1 : nil
        case .freed(let pfn): allocates ? nil : pfn.index
        case .done: Int?.none
        }
      if found != recorded {
        return (
          (allocates ? "the pool allocates" : "the pool frees") + " 0x\(hex(recorded))", "\(step)"
        )
      }
    }
    return nil
  }

  /// The model must have nothing left to allocate or to free.
  mutating func finish(_ resize: inout HugePoolResize) -> (recorded: String, model: String)? {
    let step = machine.advance(&resize)
    return step == .done ? nil : ("the pool has its size", "\(step)")
  }
}
