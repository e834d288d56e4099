import MemoryModel
import MemoryOperations
import ModelTesting
import Testing

/// A machine with CMA or a ZONE_MOVABLE, a process, and what the scenarios of the specification do.
struct PinningProcess: ~Copyable {
  var machine: Machine
  let id: Int

  /// 4 GiB with 2 GiB of CMA is machine M1 of the scenarios; tests scale it down.
  init(
    megabytes: Int = 256, cma: Int = 128, movable: Int = 0, thp: Bool = false, cpus: Int = 1,
    wholeBlocks: Bool = false, orderPerBit: Int = 0, geometry: Geometry = .x86_64
  ) throws {
    var booted = try Machine.small(
      megabytes: megabytes, cma: cma, movable: movable, thp: thp, cpus: cpus,
      wholeBlocks: wholeBlocks, orderPerBit: orderPerBit, geometry: geometry)
    let space = booted.createSpace(name: "vm0")
    id = try #require(space)
    machine = booted
  }

  init(_ other: borrowing PinningProcess) throws {
    id = other.id
    machine = try other.machine.fork()
  }

  /// An anonymous area, every page of it written.
  mutating func populated(_ pages: Int, file: Int? = nil) throws -> Int {
    let start = try machine.mapArea(
      id, pages: pages, file == nil ? [.read, .write] : [.read, .write, .shared],
      file.map { .file($0, offset: 0) } ?? .anonymous
    ).get()
    let run = machine.faultRange(id, start..<start + pages, .write)
    try #require(run.done == pages, "\(run)")
    machine.drainAllLRU()
    return start
  }

  /// Pages that lie in CMA, `count` of them one after the other; what lies before them is thrown
  /// away with the areas that hold it.
  mutating func populatedInCMA(_ count: Int) throws -> Int {
    for _ in 0..<64 {
      let start = try populated(count)
      if inCMA(start, count) == count { return start }
    }
    throw Failure("no \(count) pages in CMA")
  }

  func inCMA(_ start: Int, _ pages: Int) -> Int {
    (start..<start + pages).count { page in
      machine.frame(id, page: page).map { machine.frames.migrateType($0) == .cma } ?? false
    }
  }

  mutating func pin(
    _ start: Int, _ pages: Int, _ flags: GUPFlags = [.write, .longTerm], fast: Bool = false
  ) throws -> PinOutcome {
    var pin = Pin(
      PinRequest(
        space: id, startPage: start, pages: pages, flags: flags,
        entryPoint: fast ? .fast : .locked))
    let outcome = pin.run(&machine)
    return try #require(outcome)
  }

  /// The frame behind a page that is present.
  func frame(_ page: Int) throws -> PFN {
    let found = machine.frame(id, page: page)
    return try #require(found)
  }

  var sound: String? { machine.check() ?? machine.checkMemory() }

  /// As ``sound``, while a pin is under way.
  func sound(_ pin: Pin) -> String? {
    let held = pin.holdings(machine)
    return machine.check() ?? machine.checkMemory(held) ?? machine.brokenCount(held)
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }
}

/// Runs an operation to its end.
func finish<Call: MemoryModel.Operation>(
  _ call: inout Call, _ machine: inout Machine
) throws -> Call.Outcome {
  let outcome = call.run(&machine)
  return try #require(outcome)
}

/// What counters grew by.
struct Deltas {
  private let before: [String: Int]

  init(_ machine: borrowing Machine) { before = Self.counters(machine) }

  func callAsFunction(_ name: String, _ machine: borrowing Machine) -> Int {
    (Self.counters(machine)[name] ?? 0) - (before[name] ?? 0)
  }

  /// What a counter stood at.
  func value(_ name: String) -> Int { before[name] ?? 0 }

  private static func counters(_ machine: borrowing Machine) -> [String: Int] {
    var counters: [String: Int] = [:]
    for (index, name) in VMStatNames.events.enumerated() {
      counters[name] = machine.event(at: index)
    }
    for (index, name) in VMStatNames.nodeItems.enumerated() {
      var total = 0
      for node in 0..<machine.nodeCount { total += machine.nodeItem(index, node: node) }
      counters[name] = total
    }
    return counters
  }
}
