import MemoryOperations
import Testing

@testable import MemoryModel

/// A machine of one node with a process that uses huge pages.
struct HugeProcess: ~Copyable {
  var machine: Machine
  let id: Int
  /// Where a test keeps the start of its area.
  var start = 0

  /// - Parameter cma: Pages of a CMA area; huge pages come from it first while it is more than half
  ///   of what is free.
  init(
    megabytes: Int = 256, pool: Int = 0, cma: Int = 0, thp: Bool = false,
    _ change: (inout MachineConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [megabytes << 20])
    if cma > 0 { configuration.cmaAreas = [.init(name: "reserved", pages: cma)] }
    change(&configuration)
    var booted = try Machine.boot(configuration)
    booted.settings.transparentHugePages = thp
    if pool > 0 { try booted.setHugePages(order: 9, count: pool) }
    id = booted.createSpace(name: "p") ?? 0
    machine = booted
  }

  /// Maps a new hugetlb file of as many pages.
  mutating func map(
    _ hugePages: Int, order: Int = 9, shared: Bool = false, noReserve: Bool = false
  ) throws -> (page: Int, file: Int) {
    let pages = hugePages << order
    let file = try machine.createFile(.hugetlb(order: order), name: "huge", pages: pages).get()
    var flags: MemoryArea.Flags = [.read, .write]
    if shared { flags.insert(.shared) }
    if noReserve { flags.insert(.noReserve) }
    let start = try machine.mapArea(id, pages: pages, flags, .file(file, offset: 0)).get()
    machine.dropUser(file)
    return (start, file)
  }

  mutating func fault(_ pages: Range<Int>, _ access: FaultAccess = .write) -> FaultRun {
    machine.faultRange(id, pages, access)
  }

  mutating func pin(
    _ pages: Range<Int>, _ flags: GUPFlags = [.write, .longTerm], _ entry: PinEntryPoint = .fast,
    _ pace: Pace = .slice
  ) -> PinOutcome? {
    var pin = Pin(
      PinRequest(
        space: id, startPage: pages.lowerBound, pages: pages.count, flags: flags, entryPoint: entry)
    )
    while true {
      switch pin.advance(&machine, pace) {
      case .running: continue
      case .finished: return pin.outcome
      case .waiting: return nil
      }
    }
  }

  mutating func unpin(_ id: Int) {
    guard let record = machine.pin(id) else { return }
    var costs = OperationCosts()
    _ = machine.unpin(
      record.words, record.isGet ? .get : .pin, limit: .max >> 1, batched: true, dirty: false,
      &costs)
    machine.removePin(id)
  }

  func folio(_ page: Int) throws -> Folio {
    let shown = machine.frame(id, page: page)
    let folio = machine.folio(of: try #require(shown))
    return try #require(folio)
  }

  func pool(_ order: Int = 9) throws -> HugePool {
    let pool = machine.hugePool(order: order)
    return try #require(pool)
  }

  /// Total, free, promised and surplus pages of a pool.
  func counts(_ order: Int = 9) throws -> [Int] {
    let pool = try pool(order)
    return [pool.total, pool.free, pool.reserved, pool.surplus]
  }

  func event(_ name: String) -> Int { machine.event(named: name) }

  var sound: String? { machine.check() ?? machine.checkMemory() }
}
